import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { CupolaError } from '../../kit/errors.ts';
import { PLAIN_ENVIRONMENT } from '../../kit/process.ts';
import { UID_RANGE } from './settings.ts';

/** A user namespace that serves as map of an ID-mapped mount. Needed until the mount is made. */
export interface IdMap extends Disposable {
  readonly descriptor: number;
}

/** Shows ids from `onDisk` upwards as those from `onHost` upwards. Throws `user_namespace_failed`. */
export async function openIdMap(onDisk: number, onHost: number): Promise<IdMap> {
  // `cat` answers as soon as it runs inside the new namespace: no polling.
  const child = spawn('unshare', ['--user', 'cat'], { env: PLAIN_ENVIRONMENT, stdio: ['pipe', 'pipe', 'ignore'] });
  try {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    child.on('error', reject);
    child.on('exit', () => reject(new CupolaError('user_namespace_failed', 'unshare ended early')));
    child.stdin.on('error', () => {});
    child.stdout.once('data', () => resolve());
    child.stdin.write('.');
    await promise;
    const map = `${onDisk} ${onHost} ${UID_RANGE}\n`;
    await writeFile(`/proc/${child.pid}/uid_map`, map);
    await writeFile(`/proc/${child.pid}/gid_map`, map);
    const descriptor = openSync(`/proc/${child.pid}/ns/user`, 'r');
    return { descriptor, [Symbol.dispose]: () => closeSync(descriptor) };
  } finally {
    child.kill('SIGKILL');
  }
}
