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

/** Shows ids from `onDisk` upwards as those from `onHost` upwards. Throws `user_namespace_failed`, or `command_not_started`. */
export async function openIdMap(onDisk: number, onHost: number): Promise<IdMap> {
  // `cat` answers as soon as it runs inside the new namespace: no polling.
  const program = startProgram('unshare', ['--user', 'cat'], { env: PLAIN_ENVIRONMENT });
  try {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    program.ended.then(() => reject(new CupolaError('user_namespace_failed', 'unshare ended early')));
    program.stdin.on('error', () => {});
    program.stderr.resume();
    program.stdout.once('data', () => resolve()).resume();
    program.stdin.write('.');
    await promise;
    const map = `${onDisk} ${onHost} ${UID_RANGE}\n`;
    await writeFile(`/proc/${program.pid}/uid_map`, map);
    await writeFile(`/proc/${program.pid}/gid_map`, map);
    const descriptor = openSync(`/proc/${program.pid}/ns/user`, 'r');
    return { descriptor, [Symbol.dispose]: () => closeSync(descriptor) };
  } finally {
    program.kill();
  }
}
