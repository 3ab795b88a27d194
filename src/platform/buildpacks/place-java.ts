import { copyFile, cp, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CupolaError } from '../../kit/errors.ts';
import { writeTarFragment } from './archive.ts';
import { tool } from './tool.ts';

/** An unpacked package of the distribution. */
interface Part {
  version: string;
  directory: string;
}

export interface JavaParts {
  jre: Part;
  maven: Part;
}

/** Nothing of these does anything in a container without a screen; links among them lead to packages that are not there. */
const UNUSED = ['docs', 'man', 'legal', 'lib/src.zip', 'lib/libatk-wrapper.so', 'lib/libawt_xawt.so', 'lib/libjawt.so'];
/** The platform makes the trust store where the app runs; the other one is for heaps of more than 32 GB. */
const REPLACED = ['lib/security/cacerts', 'lib/server/classes_nocoops.jsa'];

/** The runtime has the modules of these; only their programs are in a package of their own. */
const TOOLS = {
  javac: 'jdk.compiler/com.sun.tools.javac.Main',
  jar: 'jdk.jartool/sun.tools.jar.Main',
  javadoc: 'jdk.javadoc/jdk.javadoc.internal.tool.Main',
};

/**
 * prepacked/jre-<version>: OpenJDK of the stack's distribution. Its archive is what droplets get; what
 * compiling needs beside it stands in the buildpack's own tree alone (BPK-06). And vendor/maven-<version>.
 */
export async function placeJava(tree: string, { jre, maven }: JavaParts): Promise<void> {
  const name = `jre-${jre.version.replace(/[+~-].*$/, '')}`;
  const target = join(tree, 'prepacked', name);
  const home = await javaHome(jre.directory);
  await Promise.all([...UNUSED, ...REPLACED].map((path) => rm(join(home, path), { recursive: true, force: true })));
  await replaceLinks(home, jre.directory);
  await mkdir(join(tree, 'prepacked'), { recursive: true });
  await rename(home, target);
  await copyFile(join(jre.directory, 'usr/share/doc/openjdk-17-jre-headless/copyright'), join(target, 'LICENSE'));
  const signatures = join(target, 'lib/ct.sym');
  await rename(signatures, `${target}.ct.sym`);
  await writeTarFragment(target, `deps/.prepacked/${name}`, join(tree, 'prepacked', `${name}.tar.gz`));
  await rename(`${target}.ct.sym`, signatures);
  await Promise.all(Object.entries(TOOLS).map(([tool, main]) => writeTool(join(target, 'bin', tool), main)));

  await mkdir(join(tree, 'vendor'), { recursive: true });
  await rm(join(maven.directory, 'lib/jansi-native'), { recursive: true, force: true });
  await rename(maven.directory, join(tree, 'vendor', `maven-${maven.version}`));
  await writeFile(join(tree, 'vendor', 'java.txt'), `${jre.version}\n`);
}

async function writeTool(path: string, main: string): Promise<void> {
  await writeFile(path, `#!/bin/sh\nexec "\${0%/*}/java" --module ${main} "$@"\n`, { mode: 0o755 });
}

async function javaHome(directory: string): Promise<string> {
  const parent = join(directory, 'usr/lib/jvm');
  const [name] = (await readdir(parent)).filter((entry) => /^java-\d+-openjdk-/.test(entry));
  if (name === undefined) throw new CupolaError('dependency_missing', 'the package holds no Java home');
  return join(parent, name);
}

/** Configuration of the distribution lies in /etc; here the files take the place of the links to them. */
async function replaceLinks(home: string, root: string): Promise<void> {
  const links = (await tool('find', [home, '-type', 'l', '-printf', '%p\\t%l\\n']))
    .split('\n')
    .filter((line) => line !== '');
  for (const line of links) {
    const [path, destination] = line.split('\t') as [string, string];
    if (!destination.startsWith('/')) continue;
    await rm(path);
    await cp(join(root, destination), path, { recursive: true, dereference: true });
  }
}
