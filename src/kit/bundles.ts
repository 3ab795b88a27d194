import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import type { BuildOptions, Plugin } from 'esbuild';
import { bundleOf, bundlesOf, isOwnersOf } from './bundle.js';
import { CupolaError } from './errors.ts';
import { PROJECT } from './project.js';

/** One that began with a bundle of before may still read a part of it. */
const KEPT_MS = 60 * 60_000;
/** With native code, which must lie where they look for it; and what no program asks for, but a library would where it were there. */
const NOT_BUNDLED = [
  ...['@node-rs/bcrypt', 'koffi', 'ssh2', 'cpu-features', 'pg-native', 'esbuild'],
  '@cyclonedx/cyclonedx-library', // it would ask for three more
];
/** Libraries in CommonJS ask for modules of Node.js by it. */
const REQUIRE = "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);";

/**
 * Makes the bundle of the sources that lie here, unless it is there or this account may not write here. `programs`: the file of each
 * below src, by its name. Throws `bundle_failed`.
 */
export async function makeBundles(programs: Readonly<Record<string, string>>, project = PROJECT): Promise<void> {
  try {
    const bundles = bundlesOf(project);
    const bundle = bundleOf(project);
    if (existsSync(bundle) || !mayWrite(project)) return;
    // Components of other accounts read it, whatever this one's file mode is.
    if (!existsSync(bundles)) mkdirSync(bundles, { recursive: true });
    if (!isOwnersOf(project, bundles)) throw new Error(`${bundles} belongs to another account than the sources`);
    chmodSync(bundles, 0o755);
    const making = mkdtempSync(join(bundles, '.making-'));
    try {
      await build(programs, project, making);
      // Sources that changed meanwhile are in it in part.
      if (bundleOf(project) === bundle) putInPlace(making, bundle);
    } finally {
      rmSync(making, { recursive: true, force: true });
    }
    removeFormer(bundles, bundle);
  } catch (cause) {
    throw new CupolaError('bundle_failed', 'the programs were not bundled', { cause });
  }
}

/**
 * To an `import` all exports of a module of Node.js are shown at once, and one of `node:http` loads the whole client behind `fetch`, which
 * takes longer than most commands.
 */
const HTTP_ALONE: Plugin = {
  name: 'node:http without the client behind fetch',
  setup: (build) => {
    build.onResolve({ filter: /^(node:)?http$/ }, ({ kind }) =>
      kind === 'import-statement' ? { path: 'node:http', namespace: 'required' } : null,
    );
    build.onLoad({ filter: /^/, namespace: 'required' }, () => ({
      contents: "module.exports = require('node:http');",
    }));
  },
};

async function build(programs: Readonly<Record<string, string>>, project: string, directory: string): Promise<void> {
  const entries = Object.entries(programs).map(([name, file]) => [name, join('src', file)]);
  // All lie in this one directory: `PROJECT` counts on how deep that is.
  await writeBundle(Object.fromEntries(entries), project, directory);
}

/**
 * Writes each entry to `directory` under its name, with what it imports in files that entries share. `entries`: the file of each below
 * the project, by its name; `more`: what else esbuild is to do. Throws what esbuild reports.
 */
export async function writeBundle(
  entries: Readonly<Record<string, string>>,
  project: string,
  directory: string,
  { plugins = [], ...more }: BuildOptions = {},
): Promise<void> {
  const { build: bundle } = await import('esbuild');
  await bundle({
    absWorkingDir: project,
    entryPoints: Object.fromEntries(Object.entries(entries).map(([name, file]) => [name, join(project, file)])),
    outdir: directory,
    bundle: true,
    splitting: true,
    platform: 'node',
    format: 'esm',
    target: `node${process.versions.node}`,
    tsconfigRaw: {},
    keepNames: true,
    external: NOT_BUNDLED,
    banner: { js: REQUIRE },
    logLevel: 'silent',
    plugins: [HTTP_ALONE, ...plugins],
    ...more,
  });
}

/** Whole on the disk before it has its name: after a power cut there is all of it or nothing. */
function putInPlace(making: string, bundle: string): void {
  for (const name of readdirSync(making)) {
    chmodSync(join(making, name), 0o644);
    flush(join(making, name));
  }
  chmodSync(making, 0o755);
  flush(making);
  try {
    renameSync(making, bundle);
  } catch (cause) {
    if (!existsSync(bundle)) throw cause; // else another process has made it meanwhile
  }
}

function flush(path: string): void {
  const descriptor = openSync(path, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function removeFormer(bundles: string, current: string): void {
  for (const name of readdirSync(bundles)) {
    const bundle = join(bundles, name);
    const since = Date.now() - (statSync(bundle, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
    if (bundle !== current && since > KEPT_MS) rmSync(bundle, { recursive: true, force: true });
  }
}

/** Root does; another account where the checkout is its own. */
function mayWrite(project: string): boolean {
  const self = process.getuid?.();
  return self === 0 || self === statSync(project).uid;
}
