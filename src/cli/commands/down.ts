import { setTimeout as pause } from 'node:timers/promises';
import { CupolaError } from '../../kit/errors.ts';
import { lockFile } from '../../kit/lock.ts';
import { Logger } from '../../kit/log.ts';
import { makeDirectory } from '../../kit/owned-files.ts';
import { identify, isAlive, type ProcessIdentity } from '../../kit/process.ts';
import type { PlatformStatus } from '../../platform/admin-messages.ts';
import { type Layout, layoutOf } from '../../platform/layout.ts';
import { supervisorLockOf } from '../../platform/program.ts';
import { lockFileOf } from '../../platform/settings/store.ts';
import { askSupervisor, supervisorAnswers } from '../../platform/supervisor-client.ts';
import { endRemains } from '../../platform/teardown.ts';
import { command } from '../command.ts';
import { installation, say } from '../options.ts';

const LIMIT_MS = 120_000;

export const down = command({
  flags: {},
  async run({ values }) {
    const settings = installation(values.data);
    using _lock = lockFile(lockFileOf(settings.dataDirectory), 'down');
    const layout = layoutOf(settings);
    using stopped = await stopForGood(layout, 'down');
    // What a supervisor left that was killed, or could not start.
    const log = new Logger('down', {}, (line) => process.stderr.write(line), 'warn');
    const ran = stopped.ran || (await endRemains(layout, log));
    say(ran ? 'stopped' : 'it was not running');
    return 0;
  },
});

const LOCK_LIMIT_MS = 60_000;

/**
 * Stops it, if it ran, and holds the supervisor's lock, so that none begins anew: one that was killed is started again, and does not
 * answer in between; the machine may just have been booted. Throws `locked` where that takes a minute.
 */
export async function stopForGood(layout: Layout, what: string): Promise<Disposable & { ran: boolean }> {
  makeDirectory(layout.run, { mode: 0o711 });
  let ran = false;
  for (const deadline = Date.now() + LOCK_LIMIT_MS; ; await pause(100)) {
    ran = (await stopPlatform(layout)) || ran;
    try {
      const lock = lockFile(supervisorLockOf(layout.run), what);
      return { ran, [Symbol.dispose]: () => lock[Symbol.dispose]() };
    } catch (error) {
      if (!(error instanceof CupolaError) || error.code !== 'locked' || Date.now() > deadline) throw error;
    }
  }
}

/** Stops everything and waits until the supervisor is gone. False where none ran. Throws `down_timeout`. */
async function stopPlatform(layout: Layout): Promise<boolean> {
  if (!(await supervisorAnswers(layout))) return false;
  let supervisor: ProcessIdentity | null = null;
  try {
    supervisor = identify((await askSupervisor(layout, 'POST /down')).pid);
  } catch (error) {
    // It may be gone before its answer is read.
    if (!(error instanceof CupolaError) || error.code !== 'not_running') throw error;
  }
  const deadline = Date.now() + LIMIT_MS;
  while (supervisor ? isAlive(supervisor) : await supervisorAnswers(layout)) {
    if (Date.now() > deadline) throw new CupolaError('down_timeout', 'the supervisor did not end in two minutes');
    await pause(100);
  }
  return true;
}

/** Null where no supervisor answers. Throws `invalid_answer` where one of another version tells otherwise. */
export async function statusOrNull(layout: Layout): Promise<PlatformStatus | null> {
  try {
    return await askSupervisor(layout, 'GET /status');
  } catch (error) {
    if (error instanceof CupolaError && error.code === 'not_running') return null;
    throw error;
  }
}
