import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { codeOf } from './errors.ts';
import { run } from './process.ts';

/* Directories that are there whole or not at all, whoever is killed and whenever the power goes. */

const UNFINISHED = /^\.(.+\.)?(building|gone)-/;
/** Making one takes minutes; what lies there longer was left by somebody who was killed. */
const ABANDONED_MS = 2 * 60 * 60_000;
const SYNC_MS = 5 * 60_000;

/** What `make` puts into an empty directory appears as `path`. Where another process was faster, its own stays. Throws what `make` throws. */
export async function makeWhole(path: string, make: (building: string) => Promise<void>): Promise<void> {
  const building = hidden(path, 'building');
  try {
    await mkdir(building, { mode: 0o755 });
    await make(building);
    // Else there could be names without content after a loss of power.
    await run('sync', ['--file-system', building], { timeoutMs: SYNC_MS, showWords: true });
    await rename(building, path).catch((error: unknown) => {
      if (!['ENOTEMPTY', 'EEXIST'].includes(codeOf(error) ?? '')) throw error;
    });
  } finally {
    await rm(building, { recursive: true, force: true });
  }
}

/** Whoever looks for it finds all of it or nothing. False where it is not there any more. */
export async function removeWhole(path: string): Promise<boolean> {
  const gone = hidden(path, 'gone');
  try {
    await rename(path, gone);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false; // another process was faster
    throw error;
  }
  await rm(gone, { recursive: true, force: true });
  return true;
}

/** Removes what killed processes left of either. Fine where the directory is not there. */
export async function removeUnfinished(directory: string): Promise<void> {
  for (const entry of await readdir(directory).catch(() => [])) {
    if (!UNFINISHED.test(entry)) continue;
    const path = join(directory, entry);
    const found = await stat(path).catch(() => null); // another process may have taken it away
    if (found && Date.now() - found.mtimeMs > ABANDONED_MS) await rm(path, { recursive: true, force: true });
  }
}

function hidden(path: string, state: 'building' | 'gone'): string {
  return join(dirname(path), `.${basename(path)}.${state}-${randomUUID()}`);
}
