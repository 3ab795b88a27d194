import { text } from 'node:stream/consumers';
import { PackageURL } from 'packageurl-js';
import Type, { type Static } from 'typebox';
import Value from 'typebox/value';
import { parse } from 'yaml';
import { checkedJson } from '../../kit/checked.ts';
import { CupolaError } from '../../kit/errors.ts';
import { filesOf } from '../buildpacks/zip-files.ts';
import type { Layout } from '../layout.ts';
import { type SystemBuildpackFile, systemBuildpacks } from '../system-buildpacks.ts';
import { debianUrl } from './debian-tree.ts';
import { npmUrl } from './npm.ts';
import type { Part, Software } from './software.ts';

/** What a buildpack's zip says it carries. */
const Manifest = Type.Object({
  dependencies: Type.Array(Type.Object({ name: Type.String(), version: Type.String(), sha256: Type.String() })),
});
type Carried = Static<typeof Manifest>['dependencies'][number];
/** And where that came from. */
const Sources = Type.Object({
  npm: Type.Array(
    Type.Object({ name: Type.String(), packages: Type.Record(Type.String(), Type.Object({ name: Type.String() })) }),
  ),
  debian: Type.Array(Type.String()),
  maven: Type.Optional(Type.Array(Type.Object({ name: Type.String(), path: Type.String() }))),
});
type Sources = Static<typeof Sources>;
const READ = ['manifest.yml', 'dependencies.json', 'VERSION'];

/** The buildpacks that come with the platform, each with what it carries. */
export async function buildpackParts(layout: Layout): Promise<Part[]> {
  return Promise.all(systemBuildpacks(layout).map(partOf));
}

async function partOf({ name, file, sha256, stack }: SystemBuildpackFile): Promise<Part> {
  const read = new Map<string, string>();
  for await (const one of filesOf(file)) {
    if (READ.includes(one.name)) read.set(one.name, await text(await one.open()));
  }
  const [manifest, sources, version] = READ.map((path) => read.get(path));
  if (manifest === undefined || sources === undefined || version === undefined) {
    throw new CupolaError('invalid_file', `${file} does not say what it carries`);
  }
  const { dependencies } = Value.Parse(Manifest, parse(manifest));
  const from = checkedJson(Sources, sources, { code: 'invalid_file', what: `dependencies.json in ${file}` });
  return {
    ...{ kind: 'buildpack', name, version: version.trim() },
    hashes: [{ algorithm: 'SHA-256', hex: sha256 }],
    runsIn: `staging containers of ${stack}; apps that it staged have its runtime`,
    packages: dependencies.map((one) => softwareOf(one, from, stack)),
  };
}

function softwareOf(carried: Carried, from: Sources, stack: string): Software {
  const { name, version, sha256 } = carried;
  const common = { name, version, licences: [], needs: [], usedFor: '' };
  const hashes = [{ algorithm: 'SHA-256', hex: sha256 }] as const;
  const npm = from.npm.find((one) => one.name === name);
  const maven = from.maven?.find((one) => one.name === name);
  if (from.debian.includes(name)) {
    const [, id = '', release = ''] = /^([a-z]+)(\d+)$/.exec(stack) ?? [];
    const purl = debianUrl({ name, version }, { id, release });
    return { ...common, hashes, origin: 'deb', purl };
  }
  if (npm !== undefined) {
    const published = npm.packages[process.arch] ?? npm.packages['any'];
    return { ...common, hashes, origin: 'npm', purl: npmUrl(published?.name ?? name, version) };
  }
  if (maven !== undefined) return { ...common, hashes, origin: 'maven', purl: mavenUrl(maven.path, version) };
  // What Go's own checks of flaws call it.
  return {
    ...common,
    hashes,
    origin: 'golang',
    purl: new PackageURL('golang', undefined, 'stdlib', version).toString(),
  };
}

/** "org/apache/maven/apache-maven/3.9.16/apache-maven-3.9.16-bin.tar.gz" */
function mavenUrl(path: string, version: string): string {
  const [artifact = '', ...group] = path.split('/').slice(0, -2).toReversed();
  const [, classifier = '', type = ''] = /-([a-z]+)\.([a-z.]+)$/.exec(path) ?? [];
  const qualifiers = { ...(classifier ? { classifier } : {}), ...(type ? { type } : {}) };
  return new PackageURL('maven', group.toReversed().join('.'), artifact, version, qualifiers).toString();
}
