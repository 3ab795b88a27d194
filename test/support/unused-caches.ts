import { existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** What checkouts of other versions use stays: each is read by whoever uses it, at least once in that time. */
const KEPT_UNUSED_MS = 14 * 24 * 60 * 60_000;

/**
 * Removes what nobody read for two weeks of what tests keep: `read` gives the file of an entry that each use reads, null for what is no
 * such entry. Gives the names.
 */
function removeUnused(directory: string, read: (name: string) => string | null, now = Date.now()): string[] {
  const names = existsSync(directory) ? readdirSync(directory) : [];
  return names.filter((name) => {
    const file = read(name);
    if (file === null || !isUnused(join(directory, file), now)) return false;
    rmSync(join(directory, name), { recursive: true, force: true });
    return true;
  });
}

/** Images of the engines, and what says which is used. */
export function removeUnusedEngines(directory: string, now?: number): string[] {
  const read = (name: string): string | null => {
    if (/^[0-9a-f]{12}$/.test(name)) return `${name}/packages.json`;
    return /^[0-9a-f]{12}\.json$/.test(name) ? name : null;
  };
  return removeUnused(directory, read, now);
}

/** Zips of buildpacks, by what they were made of, each with its digest. */
export function removeUnusedBuildpacks(directory: string, now?: number): string[] {
  const digests = removeUnused(directory, (name) => (/-[0-9a-f]{24}\.sha256$/.test(name) ? name : null), now);
  for (const name of digests) rmSync(join(directory, name.replace(/sha256$/, 'zip')), { force: true });
  return digests;
}

/** Times of reading are brought up to date once a day. What has no such file is of no use to anybody. */
function isUnused(file: string, now: number): boolean {
  const found = statSync(file, { throwIfNoEntry: false });
  return found === undefined || now - Math.max(found.atimeMs, found.mtimeMs) > KEPT_UNUSED_MS;
}
