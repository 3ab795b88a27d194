import { closeSync, openSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { CupolaError } from '../../kit/errors.ts';
import { startProgram } from '../../kit/posix-spawn.ts';
import { PLAIN_ENVIRONMENT } from '../../kit/process.ts';
import { UID_RANGE } from './settings.ts';

/** A user namespace that serves as map of an ID-mapped mount. Needed until the mount is made. */
export interface IdMap extends Disposable {
  readonly descriptor: number;
}

/** Shows ids from `onDisk` upwards as those from `onHost` upwards. Throws `user_namespace_failed`. */
export async function openIdMap(onDisk: number, onHost: number): Promise<IdMap> {
  // `cat` answers as soon as it runs inside the new namespace: no polling.
  const child = startProgram('unshare', ['--user', 'cat'], { env: PLAIN_ENVIRONMENT });
  try {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    child.ended.then(() => reject(new CupolaError('user_namespace_failed', 'unshare ended early')));
    child.stdin.on('error', () => {});
    child.stderr.resume();
    child.stdout.once('data', () => resolve()).resume();
    child.stdin.write('.');
    await promise;
    const map = `${onDisk} ${onHost} ${UID_RANGE}\n`;
    await writeFile(`/proc/${child.pid}/uid_map`, map);
    await writeFile(`/proc/${child.pid}/gid_map`, map);
    const descriptor = openSync(`/proc/${child.pid}/ns/user`, 'r');
    return { descriptor, [Symbol.dispose]: () => closeSync(descriptor) };
  } finally {
    child.kill();
  }
}
