import { chmod, copyFile, mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import Type from 'typebox';
import Value from 'typebox/value';
import { CupolaError } from '../../kit/errors.ts';
import { sha256Of } from '../../kit/file-digest.ts';
import { together } from '../../kit/together.ts';
import { writeTarFragment } from './archive.ts';
import type { DebianArchive } from './debian-package.ts';
import type { Dependency, Unpacked } from './dependency.ts';
import { dropUnloaded } from './elf.ts';
import { findGoProxy } from './go-proxy.ts';
import { fetchGoToolchain, unpackGoToolchain } from './go-toolchain.ts';
import { fetchMavenArtifact } from './maven-artifact.ts';
import { fetchNpmPackage } from './npm-package.ts';
import { placeJava } from './place-java.ts';
import { placeRuntime, Runtime } from './runtime.ts';
import { tool } from './tool.ts';

export interface Sources {
  /** For what registries are asked for. */
  cacheDirectory: string;
  /** Where libraries, servers and interpreters are taken from. */
  debian: DebianArchive;
  onProgress?: (message: string) => void;
}

const Pinned = Type.Object({ name: Type.String(), integrity: Type.String({ pattern: '^sha512-' }) });
const NpmEntry = Type.Object({
  name: Type.String(),
  version: Type.String(),
  packages: Type.Record(Type.String(), Pinned),
});
type NpmEntry = Type.Static<typeof NpmEntry>;
const GoEntry = Type.Object({
  name: Type.Literal('go'),
  version: Type.String(),
  sums: Type.Record(Type.String(), Type.String({ pattern: '^h1:' })),
});
const MavenEntry = Type.Object({
  name: Type.String(),
  version: Type.String(),
  path: Type.String({ pattern: '^[a-z0-9][A-Za-z0-9._/-]+$' }),
  sha512: Type.String({ pattern: '^[0-9a-f]{128}$' }),
});
const Dependencies = Type.Object({
  npm: Type.Array(NpmEntry),
  debian: Type.Array(Type.String({ pattern: '^[a-z0-9][a-z0-9.+-]+$' })),
  go: Type.Optional(Type.Array(GoEntry)),
  maven: Type.Optional(Type.Array(MavenEntry)),
  runtime: Type.Optional(Runtime),
});

/** Puts the runtimes that the buildpack's dependencies.json names into its tree, where its programs expect them. */
export async function assemble(tree: string, sources: Sources): Promise<Dependency[]> {
  const wanted = Value.Parse(Dependencies, JSON.parse(await readFile(join(tree, 'dependencies.json'), 'utf8')));
  // Beside the tree, so that files move there without being copied.
  const work = await mkdtemp(join(dirname(tree), '.unpack-'));
  try {
    const fetching = [
      ...wanted.npm.map((entry) => fetchNpm(entry, work, sources)),
      fetchDebian(wanted.debian, work, sources),
      ...(wanted.go ?? []).map((entry) => fetchGo(entry, work, sources)),
      ...(wanted.maven ?? []).map((entry) => fetchMaven(entry, work, sources)),
    ];
    // Nothing writes there any more when it is removed.
    const parts = new Map((await together(fetching)).flat().map((part) => [part.name, part]));
    if (parts.has('node')) await placeNode(tree, parts);
    if (wanted.runtime) await placeRuntime(tree, wanted.runtime, parts);
    else if (parts.has('nginx')) await placeNginx(tree, parts);
    if (parts.has('go')) await placeGo(tree, parts);
    if (parts.has('maven')) {
      await placeJava(tree, { jre: part(parts, 'openjdk-17-jre-headless'), maven: part(parts, 'maven') });
    }
    return [...parts.values()].map(({ name, version, sha256 }) => ({ name, version, sha256 }));
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function fetchNpm(entry: NpmEntry, work: string, sources: Sources): Promise<Unpacked[]> {
  const { name, version } = entry;
  const pinned = entry.packages[process.arch] ?? entry.packages['any'];
  if (pinned === undefined) throw new CupolaError('architecture_unknown', `no ${name} for ${process.arch}`);
  sources.onProgress?.(`fetching ${name} ${version}`);
  const file = await fetchNpmPackage({ ...pinned, version }, sources.cacheDirectory);
  const directory = join(work, name);
  await mkdir(directory);
  await tool('tar', ['-xzf', file, '-C', directory, '--strip-components=1', '--no-same-owner']);
  return [{ name, version, sha256: await sha256Of(file), directory }];
}

async function fetchGo(entry: Type.Static<typeof GoEntry>, work: string, sources: Sources): Promise<Unpacked[]> {
  const { name, version } = entry;
  const sum = entry.sums[process.arch];
  if (sum === undefined) throw new CupolaError('architecture_unknown', `no ${name} for ${process.arch}`);
  sources.onProgress?.(`fetching ${name} ${version}`);
  const file = await fetchGoToolchain({ version, sum }, sources.cacheDirectory, () =>
    findGoProxy(sources.debian, work),
  );
  const directory = join(work, name);
  await unpackGoToolchain(file, { version, sum }, directory);
  return [{ name, version, sha256: await sha256Of(file), directory }];
}

async function fetchMaven(entry: Type.Static<typeof MavenEntry>, work: string, sources: Sources): Promise<Unpacked[]> {
  const { name, version } = entry;
  sources.onProgress?.(`fetching ${name} ${version}`);
  const file = await fetchMavenArtifact(entry, sources.cacheDirectory);
  const directory = join(work, name);
  await mkdir(directory);
  await tool('tar', ['-xzf', file, '-C', directory, '--strip-components=1', '--no-same-owner']);
  return [{ name, version, sha256: await sha256Of(file), directory }];
}

async function fetchDebian(names: readonly string[], work: string, sources: Sources): Promise<Unpacked[]> {
  const packages = await sources.debian.fetch(names);
  return Promise.all(
    packages.map(async ({ name, version, file }) => {
      const directory = join(work, name);
      await mkdir(directory);
      await tool('dpkg-deb', ['-x', file, directory]);
      return { name, version, sha256: await sha256Of(file), directory };
    }),
  );
}

function part(parts: ReadonlyMap<string, Unpacked>, name: string): Unpacked {
  const found = parts.get(name);
  if (found === undefined) throw new CupolaError('dependency_missing', `${name} is not among the dependencies`);
  return found;
}

/** prepacked/node-<version>: node, npm without its manual, and the one library that the stack lacks; and its ready-made archive. */
async function placeNode(tree: string, parts: ReadonlyMap<string, Unpacked>): Promise<void> {
  const node = part(parts, 'node');
  const name = `node-${node.version}`;
  const target = join(tree, 'prepacked', name);
  await mkdir(join(target, 'bin'), { recursive: true });
  await mkdir(join(target, 'lib/node_modules'), { recursive: true });
  await rename(join(node.directory, 'bin/node'), join(target, 'bin/node'));
  await dropUnloaded(join(target, 'bin/node'));
  await rename(join(node.directory, 'LICENSE'), join(target, 'LICENSE'));
  const npm = join(target, 'lib/node_modules/npm');
  await rename(part(parts, 'npm').directory, npm);
  await Promise.all(['docs', 'man'].map((directory) => rm(join(npm, directory), { recursive: true, force: true })));
  await symlink('../lib/node_modules/npm/bin/npm-cli.js', join(target, 'bin/npm'));
  await symlink('../lib/node_modules/npm/bin/npx-cli.js', join(target, 'bin/npx'));
  await tool('chmod', ['755', join(npm, 'bin/npm-cli.js'), join(npm, 'bin/npx-cli.js'), join(target, 'bin/node')]);
  const libraries = join(part(parts, 'libatomic1').directory, 'usr/lib');
  const [library] = (await tool('find', [libraries, '-name', 'libatomic.so.1.*', '-type', 'f'])).trim().split('\n');
  if (!library) throw new CupolaError('dependency_missing', 'libatomic1 holds no library');
  await copyFile(library, join(target, 'lib/libatomic.so.1'));
  await writeTarFragment(target, `deps/.prepacked/${name}`, join(tree, 'prepacked', `${name}.tar.gz`));
}

/** vendor/go: the toolchain, for staging alone. */
async function placeGo(tree: string, parts: ReadonlyMap<string, Unpacked>): Promise<void> {
  await mkdir(join(tree, 'vendor'), { recursive: true });
  await rename(part(parts, 'go').directory, join(tree, 'vendor/go'));
}

/** vendor/nginx: the server itself and its table of content types. */
async function placeNginx(tree: string, parts: ReadonlyMap<string, Unpacked>): Promise<void> {
  const nginx = part(parts, 'nginx');
  const target = join(tree, 'vendor/nginx');
  await mkdir(target, { recursive: true });
  await copyFile(join(nginx.directory, 'usr/sbin/nginx'), join(target, 'nginx'));
  await chmod(join(target, 'nginx'), 0o755);
  await copyFile(join(part(parts, 'nginx-common').directory, 'etc/nginx/mime.types'), join(target, 'mime.types'));
  await writeFile(join(target, 'version'), `${nginx.version}\n`);
}
