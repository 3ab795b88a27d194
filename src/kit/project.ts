import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

/**
 * The directory of the code that runs here: the project, or the place under /run where the platform shows it. Both this file and a bundle
 * (`bundles.ts`) lie two directories below it.
 */
export const PROJECT = resolve(import.meta.dirname, '../..');

/** What the code in a checkout is, whatever its path: two checkouts with the same digest behave the same. */
export function programDigest(project = PROJECT): string {
  const hash = createHash('sha256');
  const files = ['package-lock.json', ...sourceFiles(project)];
  for (const name of files) {
    const path = join(project, name);
    if (existsSync(path)) hash.update(`${name}\0`).update(readFileSync(path)).update('\0');
  }
  return hash.digest('hex').slice(0, 16);
}

/** What npm has installed, which need not be what the lock file asks for. */
export function installedLibraries(project = PROJECT): string {
  const path = join(project, 'node_modules/.package-lock.json');
  const text = existsSync(path) ? readFileSync(path) : '';
  return createHash('sha256').update(text).digest('hex').slice(0, 8);
}

function sourceFiles(project: string): string[] {
  return readdirSync(join(project, 'src'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(project.length + 1))
    .sort();
}
