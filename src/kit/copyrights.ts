import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

/** Of a distribution's documentation (usr/share/doc), only what says under which licence each package is. */
export async function keepCopyrights(documentation: string): Promise<void> {
  for (const entry of await readdir(documentation, { withFileTypes: true }).catch(() => [])) {
    const path = join(documentation, entry.name);
    if (entry.isSymbolicLink()) continue; // to the documentation of another package
    if (!entry.isDirectory()) await rm(path);
    else {
      for (const name of (await readdir(path)).filter((one) => one !== 'copyright')) {
        await rm(join(path, name), { recursive: true, force: true });
      }
    }
  }
}
