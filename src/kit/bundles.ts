import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import { PROJECT, programDigest } from './project.ts';

/**
 * Programs of this project as few files, beside the sources and named by their digest: a process reads those in a third of the time
 * that thousands of modules take. A bundle is only ever of the very sources that lie there; where there is none, they run as they are.
 */
const bundlesOf = (project: string): string => join(project, 'dist');
/** A program that began with a bundle of before may still read a part of it. */
const IN_USE_MS = 60 * 60_000;
/** They have native code, which must lie where they look for it. */
const NOT_BUNDLED = ['@node-rs/bcrypt', 'cpu-features', 'esbuild', 'koffi', 'pg-native', 'ssh2'];
/** Libraries in CommonJS ask for modules of Node.js by it. */
const REQUIRE = "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);";

/** Runs a program: its bundle where there is one, else `source`. Gives what it exports. */
export async function importProgram<T>(name: string, source: () => Promise<T>, project = PROJECT): Promise<T> {
  const file = join(bundlesOf(project), programDigest(project), `${name}.js`);
  return existsSync(file) ? ((await import(file)) as T) : source();
}

/**
 * Makes the bundle of the sources that lie here, unless it is there or this account may not write here. `programs`: the file of each
 * below src, by its name.
 */
export async function makeBundles(programs: Readonly<Record<string, string>>, project = PROJECT): Promise<void> {
  const bundles = bundlesOf(project);
  const bundle = join(bundles, programDigest(project));
  if (existsSync(bundle) || !mayWrite(existsSync(bundles) ? bundles : project)) return;
  // Components of other accounts read it, whatever this one's file mode is.
  if (!existsSync(bundles)) mkdirSync(bundles, { recursive: true });
  chmodSync(bundles, 0o755);
  const making = mkdtempSync(join(bundles, '.making-'));
  try {
    const { build } = await import('esbuild');
    await build({
      absWorkingDir: project,
      entryPoints: Object.fromEntries(
        Object.entries(programs).map(([name, file]) => [name, join(project, 'src', file)]),
      ),
      outdir: making,
      bundle: true,
      splitting: true,
      platform: 'node',
      format: 'esm',
      target: `node${process.versions.node}`,
      keepNames: true,
      external: NOT_BUNDLED,
      banner: { js: REQUIRE },
      logLevel: 'error',
    });
    for (const name of readdirSync(making)) chmodSync(join(making, name), 0o644);
    chmodSync(making, 0o755);
    renameSync(making, bundle);
  } catch (cause) {
    rmSync(making, { recursive: true, force: true });
    if (!existsSync(bundle)) throw cause; // else another process has made it meanwhile
  }
  removeFormer(bundles, bundle);
}

function removeFormer(bundles: string, current: string): void {
  for (const name of readdirSync(bundles)) {
    const bundle = join(bundles, name);
    const since = Date.now() - (statSync(bundle, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
    if (bundle !== current && since > IN_USE_MS) rmSync(bundle, { recursive: true, force: true });
  }
}

function mayWrite(directory: string): boolean {
  try {
    accessSync(directory, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
