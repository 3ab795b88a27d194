import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { CupolaError } from '../kit/errors.ts';
import { replaceFile } from '../kit/owned-files.ts';
import { commandFor } from './settings/data-option.ts';

/** In a data directory from when it is emptied: what is there is part of an installation. A reboot does not take it away. */
export const REMOVAL_MARK = 'being-destroyed';

export function markRemoval(dataDirectory: string): void {
  replaceFile(join(dataDirectory, REMOVAL_MARK), '', { mode: 0o600 });
}

/** Throws `destroy_unfinished` where a part of the data was deleted: nothing can run on the rest. */
export function requireWhole(dataDirectory: string): void {
  if (!existsSync(join(dataDirectory, REMOVAL_MARK))) return;
  const message = `a destroy of ${dataDirectory} did not finish, and data are gone; ${howToFinish(dataDirectory)}`;
  throw new CupolaError('destroy_unfinished', message);
}

export function howToFinish(dataDirectory: string): string {
  return `${commandFor('destroy --yes', { dataDirectory })} finishes it`;
}
