import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { installedLibraries, PROJECT, programDigest } from './project.js';

/*
 * Programs of this project as few files, beside the sources and named by the digest of these and of the installed libraries: a process
 * reads them in a third of the time that thousands of modules take. They change how soon a program starts and nothing else: whatever is
 * in the way of a bundle (`bundles.ts` makes them), the sources run as they are.
 */

/** @param {string} project */
export const bundlesOf = (project) => join(project, 'dist');

/**
 * Where the bundle of the sources lies that are here now.
 *
 * @param {string} project
 */
export function bundleOf(project) {
  return join(bundlesOf(project), `${programDigest(project)}-${installedLibraries(project)}`);
}

/**
 * Runs a program: its bundle where there is one of these very sources, else `source`. Gives what it exports. `prepare`: what is done
 * first where there is none; there may be one after it.
 *
 * @template T
 * @param {string} name
 * @param {() => Promise<T>} source
 * @param {{ project?: string, prepare?: () => Promise<void> }} [options]
 * @returns {Promise<T>}
 */
export async function importProgram(name, source, { project = PROJECT, prepare } = {}) {
  let bundle = usableBundle(project);
  if (bundle === null && prepare) {
    await prepare();
    bundle = usableBundle(project);
  }
  return bundle === null ? source() : import(join(bundle, `${name}.js`));
}

/**
 * Null also where the sources cannot all be read: one that does not belong there keeps no program from starting.
 *
 * @param {string} project
 */
function usableBundle(project) {
  try {
    const bundle = bundleOf(project);
    return existsSync(bundle) && isOwnersOf(project, bundle) ? bundle : null;
  } catch {
    return null;
  }
}

/**
 * Whoever owns the sources says what runs, and root; a directory that somebody else could have made is nobody's word.
 *
 * @param {string} project
 * @param {string} path
 */
export function isOwnersOf(project, path) {
  const { uid } = statSync(path);
  return uid === 0 || uid === statSync(join(project, 'src')).uid;
}
