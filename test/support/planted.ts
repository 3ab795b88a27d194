import { randomBytes } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** It went away meanwhile. */
const GONE = new Set(['ENOENT', 'ENOTDIR']);

/** Secrets of a test, by what they are, and the search for them. */
export class Planted {
  /** Every spelling of each. */
  readonly #spelled = new Map<string, Buffer[]>();

  /** A new secret: the same cannot be anywhere by chance. */
  make(what: string): string {
    const value = `planted-${randomBytes(16).toString('hex')}`;
    this.add(what, value);
    return value;
  }

  /** One that the platform made. */
  add(what: string, value: string): void {
    this.#spelled.set(what, spellings(value));
  }

  /** Which of them occur in these bytes, as they are or in a usual encoding. */
  in(bytes: Buffer): string[] {
    return [...this.#spelled].flatMap(([what, all]) => (all.some((one) => bytes.includes(one)) ? what : []));
  }

  /** "file: secret" for all below these directories but for what lies in `without`, and the disks of containers. */
  inFiles(directories: readonly string[], without: readonly string[] = []): { files: number; found: string[] } {
    let files = 0;
    const found: string[] = [];
    const visit = (path: string): void => {
      if (without.includes(path)) return;
      try {
        const status = lstatSync(path);
        if (status.isDirectory()) for (const name of readdirSync(path)) visit(join(path, name));
        else if (status.isFile() && !path.endsWith('.img')) {
          files += 1;
          found.push(...this.in(readFileSync(path)).map((what) => `${path}: ${what}`));
        }
      } catch (error) {
        if (!GONE.has((error as NodeJS.ErrnoException).code ?? '')) throw error;
      }
    };
    for (const directory of directories) visit(directory);
    return { files, found };
  }
}

/** As text, in hexadecimal, and in base64 wherever it begins in what was encoded. */
function spellings(value: string): Buffer[] {
  const bytes = Buffer.from(value);
  const base64 = [0, 1, 2].map((shift) => {
    const shifted = Buffer.concat([Buffer.alloc(shift), bytes]).toString('base64');
    return shifted.slice(4, 4 * Math.floor((shift + bytes.length) / 3));
  });
  return [value, bytes.toString('hex'), ...base64].map((text) => Buffer.from(text));
}
