import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Why a test with the official command-line tool cannot run. */
export const NO_OFFICIAL_CF = 'the official cf command-line tool is not in PATH';

/** Where the official `cf` is, null where it is not installed. `cupola test` builds it and puts it first in PATH. */
export function officialCf(): string | null {
  for (const directory of (process.env['PATH'] ?? '').split(delimiter)) {
    const file = join(directory, 'cf');
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch {}
  }
  return null;
}
