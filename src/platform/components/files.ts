import { makeDirectory, replaceFile } from '../../kit/owned-files.ts';
import type { Account } from '../account.ts';

/** A directory of root's that an account may enter and read, and change nothing in. Gives its path. */
export function makeReadable(path: string, reader: Account): string {
  return makeDirectory(path, { mode: 0o750, owner: { uid: 0, gid: reader.gid } });
}

/** A file of root's that one account may read: what an engine is started from. */
export function writeReadable(path: string, content: string, reader: Account): void {
  replaceFile(path, content, { mode: 0o640, owner: { uid: 0, gid: reader.gid } });
}
