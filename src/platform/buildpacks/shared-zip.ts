import { createHash, randomUUID } from 'node:crypto';
import { constants, copyFile, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sha256Of } from '../../kit/file-digest.ts';
import { linkFile } from '../../kit/owned-files.ts';

/** A built buildpack that several installations of this machine use, under a name of what it was made of. */
export class SharedZip {
  readonly #directory: string;
  readonly #base: string;

  constructor(directory: string, name: string, fingerprint: string) {
    this.#directory = directory;
    this.#base = join(directory, `${name}-${createHash('sha256').update(fingerprint).digest('hex').slice(0, 24)}`);
  }

  /**
   * Puts it at `file`, the very file where that can be, and gives its digest; null where it is not there, or is not what was put there.
   */
  async take(file: string): Promise<string | null> {
    const [zip, part] = [`${this.#base}.zip`, `${file}.part`];
    try {
      const sha256 = (await readFile(`${this.#base}.sha256`, 'utf8')).trim();
      if (!linkFile(part, zip)) await copyFile(zip, part, constants.COPYFILE_FICLONE);
      if ((await sha256Of(part)) === sha256) {
        await rename(part, file);
        return sha256;
      }
    } catch {
      // never built, or removed: it is made anew
    } finally {
      await rm(part, { force: true }); // also of two names of one file, which a rename leaves as they are
    }
    return null;
  }

  async give(file: string, sha256: string): Promise<void> {
    const part = `${this.#base}.${randomUUID()}`;
    await mkdir(this.#directory, { recursive: true });
    await copyFile(file, part, constants.COPYFILE_FICLONE);
    await rename(part, `${this.#base}.zip`);
    await writeFile(part, `${sha256}\n`);
    await rename(part, `${this.#base}.sha256`);
  }
}
