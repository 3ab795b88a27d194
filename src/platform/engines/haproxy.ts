import { setTimeout as pause } from 'node:timers/promises';
import { CupolaError } from '../../kit/errors.ts';
import { HaproxySocket } from '../../kit/haproxy.ts';
import { isAlive, type ProcessIdentity, terminate } from '../../kit/process.ts';

const START_LIMIT_MS = 30_000;

/**
 * What makes a new HAProxy ask a running one to finish, once it is ready itself (management guide, section 3). Both inherit the same
 * listening sockets: no connection is refused.
 */
export function takeOverArguments(old: ProcessIdentity): string[] {
  return ['-sf', String(old.pid)];
}

/**
 * Waits until the new process answers on the socket. If it cannot start, the old one has kept its listeners and goes on.
 * Throws `takeover_failed`.
 */
export async function untilTakenOver(
  next: ProcessIdentity,
  adminSocket: string,
  logFile: string,
): Promise<ProcessIdentity> {
  const socket = new HaproxySocket(adminSocket, 2_000);
  const deadline = Date.now() + START_LIMIT_MS;
  for (;;) {
    const answering = await socket.process().catch(() => '');
    if (answering.startsWith(`${next.pid}/`)) return next;
    if (!isAlive(next)) throw new CupolaError('takeover_failed', `the new HAProxy ended at once; see ${logFile}`);
    if (Date.now() > deadline) {
      await terminate(next);
      throw new CupolaError('takeover_failed', 'the new HAProxy did not take over in 30 s');
    }
    await pause(50);
  }
}
