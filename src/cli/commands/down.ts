import { setTimeout as pause } from 'node:timers/promises';
import { CupolaError } from '../../kit/errors.ts';
import { lockFile } from '../../kit/lock.ts';
import { identify, isAlive, type ProcessIdentity } from '../../kit/process.ts';
import { type Layout, layoutOf, lockFileOf } from '../../platform/settings.ts';
import { askSupervisor, type PlatformStatus } from '../../platform/supervisor-client.ts';
import { type Command, DATA_OPTION, installation, parse, say } from '../options.ts';

const LIMIT_MS = 120_000;

export const down: Command = {
  usage: 'down',
  summary: 'stop the platform; keep its data',
  async run(args) {
    const { values } = parse(args, DATA_OPTION);
    const settings = installation(values.data);
    using _lock = lockFile(lockFileOf(settings.dataDirectory), 'down');
    say((await stopPlatform(layoutOf(settings))) ? 'stopped' : 'it was not running');
    return 0;
  },
};

/** Stops everything and waits until the supervisor is gone. False where none ran. Throws `down_timeout`. */
export async function stopPlatform(layout: Layout): Promise<boolean> {
  if (!(await statusOrNull(layout))) return false;
  let supervisor: ProcessIdentity | null = null;
  try {
    supervisor = identify((await askSupervisor<{ pid: number }>(layout, 'POST /down')).pid);
  } catch (error) {
    // It may be gone before its answer is read.
    if (!(error instanceof CupolaError) || error.code !== 'not_running') throw error;
  }
  const deadline = Date.now() + LIMIT_MS;
  while (supervisor ? isAlive(supervisor) : (await statusOrNull(layout)) !== null) {
    if (Date.now() > deadline) throw new CupolaError('down_timeout', 'the supervisor did not end in two minutes');
    await pause(100);
  }
  return true;
}

/** Null where no supervisor answers. */
export async function statusOrNull(layout: Layout): Promise<PlatformStatus | null> {
  try {
    return await askSupervisor<PlatformStatus>(layout, 'GET /status');
  } catch (error) {
    if (error instanceof CupolaError && error.code === 'not_running') return null;
    throw error;
  }
}
