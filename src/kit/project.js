import { createHash } from 'node:crypto';
import { closeSync, existsSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import { join, resolve } from 'node:path';

/*
 * JavaScript, with its types in comments, as all that runs before a bundle is found: to load what takes the types away would take as long
 * as the rest of it.
 */

/**
 * The directory of the code that runs here: the project, or the place under /run where the platform shows it. Both this file and a bundle
 * (`bundle.js`) lie two directories below it.
 */
export const PROJECT = resolve(import.meta.dirname, '../..');

/** What is read of a file at once; few of the sources are larger. */
const PART_BYTES = 256 * 1024;

/**
 * What the code in a checkout is, whatever its path: two checkouts with the same digest behave the same.
 *
 * @param {string} project
 */
export function programDigest(project = PROJECT) {
  const hash = createHash('sha256');
  const part = Buffer.allocUnsafe(PART_BYTES);
  for (const name of ['package-lock.json', ...sourceFiles(project)]) add(name);
  return hash.digest('hex').slice(0, 16);

  /** @param {string} name */
  function add(name) {
    const path = `${project}/${name}`;
    // It may be gone since it was listed.
    if (!existsSync(path)) return;
    hash.update(`${name}\0`);
    const descriptor = openSync(path, 'r');
    try {
      for (let length = -1; length !== 0; ) {
        length = readSync(descriptor, part);
        hash.update(part.subarray(0, length));
      }
    } finally {
      closeSync(descriptor);
    }
    hash.update('\0');
  }
}

/**
 * What npm has installed, which need not be what the lock file asks for.
 *
 * @param {string} project
 */
export function installedLibraries(project = PROJECT) {
  const path = join(project, 'node_modules/.package-lock.json');
  const text = existsSync(path) ? readFileSync(path) : '';
  return createHash('sha256').update(text).digest('hex').slice(0, 8);
}

/** @param {string} project */
function sourceFiles(project) {
  /** @type {string[]} */
  const files = [];
  /** @param {string} directory */
  const look = (directory) => {
    for (const entry of readdirSync(`${project}/${directory}`, { withFileTypes: true })) {
      const name = `${directory}/${entry.name}`;
      if (entry.isDirectory()) look(name);
      else if (entry.isFile()) files.push(name);
    }
  };
  look('src');
  return files.sort();
}
