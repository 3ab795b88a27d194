import { cp, mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import Type, { type Static } from 'typebox';
import { stringify } from 'yaml';
import { readCheckedFile } from '../../kit/checked.ts';
import { sha256Of } from '../../kit/file-digest.ts';
import type { Logger } from '../../kit/log.ts';
import { together } from '../../kit/together.ts';
import { treeDigest, writeZip } from './archive.ts';
import { assemble } from './assemble.ts';
import { DebianArchive } from './debian-package.ts';
import type { Dependency } from './dependency.ts';
import { SharedZip } from './shared-zip.ts';

/** The system buildpacks in Cloud Foundry's detection order. */
const BUILDPACKS = [
  { name: 'staticfile_buildpack', directory: 'staticfile' },
  { name: 'java_buildpack', directory: 'java' },
  { name: 'ruby_buildpack', directory: 'ruby' },
  { name: 'nodejs_buildpack', directory: 'nodejs' },
  { name: 'go_buildpack', directory: 'go' },
  { name: 'python_buildpack', directory: 'python' },
  { name: 'php_buildpack', directory: 'php' },
  { name: 'nginx_buildpack', directory: 'nginx' },
  { name: 'binary_buildpack', directory: 'binary' },
] as const;
/** Raised when the way they are assembled changes. */
const RECIPE = 5;

export interface SystemBuildpack {
  name: string;
  /** From 1, in detection order. */
  position: number;
  stack: string;
  /** Absolute path of the zip. */
  file: string;
  version: string;
  sha256: string;
}

export interface BuildOptions {
  /** The project's `buildpacks/`. */
  sourceDirectory: string;
  outputDirectory: string;
  /** Fetched archives stay here, checked again before each use. */
  cacheDirectory: string;
  /** Where built zips are shared with other installations, named after what they were made of. */
  sharedDirectory?: string;
  /** Name of the stack they are for. */
  stack: string;
  log: Logger;
  /** Called with what is done just now, several things at once. */
  onProgress?: (message: string) => void;
  /** Called with each buildpack that was not there, as it is. */
  onMade?: (message: string) => void;
}

/**
 * Makes the zips of the system buildpacks with their runtimes inside, so that staging needs no download of one (BPK-02, BPK-03,
 * BPK-06). Only what changed since the last call is made again. Throws CupolaError where a runtime cannot be fetched or is not
 * the pinned one.
 */
export async function buildSystemBuildpacks(options: BuildOptions): Promise<SystemBuildpack[]> {
  await mkdir(options.outputDirectory, { recursive: true });
  const debian = new DebianArchive(options.stack);
  try {
    const building = BUILDPACKS.map(async ({ name, directory }, index) => ({
      ...(await buildOne(name, join(options.sourceDirectory, directory), { ...options, debian })),
      position: index + 1,
      stack: options.stack,
    }));
    return await together(building); // none fetches any more when the archive is closed
  } finally {
    await debian.close();
  }
}

const Built = Type.Object({ name: Type.String(), file: Type.String(), version: Type.String(), sha256: Type.String() });
type Built = Static<typeof Built>;

/** What lies beside a zip: what it was made of, and how large it is. */
const Stamp = Type.Object({ fingerprint: Type.String(), bytes: Type.Integer(), built: Built });

async function buildOne(
  name: string,
  source: string,
  options: BuildOptions & { debian: DebianArchive },
): Promise<Built> {
  const version = (await readFile(join(source, 'VERSION'), 'utf8')).trim();
  const fingerprint = `${RECIPE}/${process.arch}/${options.stack}/${await treeDigest(source)}`;
  const stamp = join(options.outputDirectory, `${name}.json`);
  const known = await readStamp(stamp, fingerprint);
  if (known !== null) return known;

  const file = join(options.outputDirectory, `${name}-v${version}.zip`);
  const shared = options.sharedDirectory && new SharedZip(options.sharedDirectory, name, fingerprint);
  const found = shared && (await shared.take(file));
  if (found) {
    const built = { name, file, version, sha256: found };
    await writeStamp(stamp, fingerprint, built);
    options.onMade?.(`${name} ${version}, built before`);
    return built;
  }

  options.onProgress?.(`building ${name}`);
  const started = performance.now();
  const tree = await mkdtemp(join(options.outputDirectory, '.build-'));
  try {
    await cp(source, tree, { recursive: true });
    const dependencies = await assemble(tree, options);
    await writeFile(join(tree, 'manifest.yml'), manifest(name, options.stack, dependencies));
    await writeZip(tree, file);
  } finally {
    await rm(tree, { recursive: true, force: true });
  }
  const built = { name, file, version, sha256: await sha256Of(file) };
  await writeStamp(stamp, fingerprint, built);
  if (shared) await shared.give(file, built.sha256);
  options.onMade?.(`${name} ${version}`);
  options.log.info('built a system buildpack', { name, version, seconds: (performance.now() - started) / 1000 });
  return built;
}

async function writeStamp(stamp: string, fingerprint: string, built: Built): Promise<void> {
  await writeFile(`${stamp}.part`, JSON.stringify({ fingerprint, bytes: (await stat(built.file)).size, built }));
  await rename(`${stamp}.part`, stamp);
}

async function readStamp(stamp: string, fingerprint: string): Promise<Built | null> {
  try {
    const known = readCheckedFile(stamp, Stamp);
    if (known.fingerprint !== fingerprint || (await stat(known.built.file)).size !== known.bytes) return null;
    return known.built;
  } catch {
    return null; // never built, or half of it was removed
  }
}

function manifest(name: string, stack: string, dependencies: readonly Dependency[]): string {
  return stringify({
    language: name.replace(/_buildpack$/, ''),
    dependencies: dependencies.map(({ name, version, sha256 }) => ({ name, version, sha256, cf_stacks: [stack] })),
  });
}
