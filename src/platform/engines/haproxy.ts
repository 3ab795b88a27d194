import { X509Certificate } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { CupolaError } from '../../kit/errors.ts';
import { HaproxySocket } from '../../kit/haproxy.ts';
import { certificatesIn } from '../../kit/pki.ts';
import { ageMs, isAlive, isSame, type ProcessIdentity, processesWith, terminate } from '../../kit/process.ts';

const START_LIMIT_MS = 30_000;
/** One that nobody knows and that does not answer is coming up, until it is that old. */
const COMING_MS = 10_000;
const POLL_MS = 50;

/** One HAProxy of the platform, of which several processes may run: while one takes over, and while former ones finish. */
export interface HaproxyInstance {
  /** It runs under this account, which nothing else has. */
  uid: number;
  configFile: string;
  adminSocket: string;
}

/** The one that has its configuration in this directory of its own. */
export function haproxyInstance(uid: number, runDirectory: string, adminSocket: string): HaproxyInstance {
  return { uid, configFile: `${runDirectory}/haproxy.cfg`, adminSocket };
}

/** What runs of a component, whoever started it. */
export interface Found {
  /** The one that has the sockets. */
  serving: ProcessIdentity | null;
  /** They finish what they have, or are deaf. */
  others: ProcessIdentity[];
}

/** Every process of it, also those that a supervisor started that was killed before it wrote them down. */
export function haproxyProcesses({ uid, configFile }: HaproxyInstance): ProcessIdentity[] {
  return processesWith(uid, configFile);
}

/**
 * What makes a new HAProxy ask those that run to finish, once it is ready itself (management guide, section 3). All inherit the same
 * listening sockets: no connection is refused.
 */
export function takeOverArguments(former: readonly ProcessIdentity[]): string[] {
  return former.length === 0 ? [] : ['-sf', ...former.map(({ pid }) => String(pid))];
}

/**
 * Which process has the sockets. A new HAProxy puts its Unix sockets in the place of the old one's before it is ready: if it ends
 * then, the old one runs and hears nothing. One that may still be coming up is waited for, as long as coming up takes and no longer: what comes
 * meanwhile is none of the platform's, and ages are no more than the machine says. `settled` ones are past that.
 */
export async function findHaproxies(
  instance: HaproxyInstance,
  settled: readonly ProcessIdentity[],
  comingMs = COMING_MS,
): Promise<Found> {
  const socket = new HaproxySocket(instance.adminSocket);
  const deadline = performance.now() + comingMs;
  for (;;) {
    const running = haproxyProcesses(instance);
    if (running.length === 0) return { serving: null, others: [] };
    const answering = await socket.process().catch(() => '');
    // The account could answer any number: only what runs as it counts.
    const serving = running.find(({ pid }) => answering.startsWith(`${pid}/`)) ?? null;
    const others = running.filter((one) => one !== serving);
    const coming = others.some(
      (one) =>
        !settled.some((known) => isSame(known, one)) &&
        ageMs(one) < comingMs &&
        (serving === null || Number(one.startTicks) > Number(serving.startTicks)),
    );
    if (!coming || performance.now() > deadline) return { serving, others };
    await pause(POLL_MS);
  }
}

/**
 * Whether the process that has the sockets trusts these roots (PEM, by the file it read them from) and no others. It is asked itself: files may
 * have been written anew for a successor that never came. Throws `haproxy_unreachable`.
 */
export async function trusts(adminSocket: string, roots: ReadonlyMap<string, string>): Promise<boolean> {
  const socket = new HaproxySocket(adminSocket);
  for (const [file, pem] of roots) {
    const wanted = certificatesIn(pem).map((one) => new X509Certificate(one).fingerprint.replaceAll(':', ''));
    if ((await socket.authorities(file)).join() !== wanted.sort().join()) return false;
  }
  return true;
}

/** Waits until the new process answers on the socket. Throws `takeover_failed`; which one answers then is to be asked. */
export async function untilTakenOver(
  next: ProcessIdentity,
  adminSocket: string,
  logFile: string,
): Promise<ProcessIdentity> {
  const socket = new HaproxySocket(adminSocket, { timeoutMs: 2_000 });
  const deadline = Date.now() + START_LIMIT_MS;
  for (;;) {
    const answering = await socket.process().catch(() => '');
    if (answering.startsWith(`${next.pid}/`)) return next;
    if (!isAlive(next)) throw new CupolaError('takeover_failed', `the new HAProxy ended at once; see ${logFile}`);
    if (Date.now() > deadline) {
      await terminate(next);
      throw new CupolaError('takeover_failed', 'the new HAProxy did not take over in 30 s');
    }
    await pause(POLL_MS);
  }
}
