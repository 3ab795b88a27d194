import { setTimeout as pause } from 'node:timers/promises';
import { CupolaError, codeOf } from '../kit/errors.ts';
import { type HeldLock, waitForLockFile } from '../kit/lock.ts';
import { makeDirectory } from '../kit/owned-files.ts';
import { identify, isAlive, type ProcessIdentity, processesWith, terminate } from '../kit/process.ts';
import type { PlatformStatus } from '../platform/admin-messages.ts';
import { stopUnit } from '../platform/host/systemd.ts';
import type { Layout } from '../platform/layout.ts';
import { supervisorLockOf } from '../platform/program.ts';
import { askSupervisor, isSilence, supervisorAnswers, supervisorProcess } from '../platform/supervisor-client.ts';

/** It ends at once when it has answered. */
const LIMIT_MS = 10_000;

const LOCK_LIMIT_MS = 60_000;

/** A supervisor that was killed leaves all that ran. */
type Stopped = 'ended' | 'killed' | 'did not run';

/**
 * Stops it, if it ran, and holds the supervisor's lock, so that none begins anew: one that was killed is started again, and does not
 * answer in between; the machine may just have been booted. One that does not answer is killed. Throws `process_stuck`, and `locked`
 * where it is held for a minute by what is no supervisor.
 */
export async function stopForGood(
  layout: Layout,
  what: string,
  lockLimitMs = LOCK_LIMIT_MS,
): Promise<Disposable & { how: Stopped }> {
  makeDirectory(layout.run, { mode: 0o711 });
  let how: Stopped = 'did not run';
  for (let deadline = Date.now() + lockLimitMs; ; await pause(100)) {
    const now = await stopPlatform(layout);
    if (how !== 'killed' && now !== 'did not run') how = now;
    try {
      const lock = await lockSupervisor(layout, what);
      return { how, [Symbol.dispose]: () => lock[Symbol.dispose]() };
    } catch (error) {
      if (codeOf(error) !== 'locked') throw error;
      if (Date.now() < deadline) continue;
      if (!(await killSupervisor(layout))) throw error;
      how = 'killed';
      deadline = Date.now() + lockLimitMs;
    }
  }
}

/** A process that was killed holds its lock until the last of its threads has ended. */
const FREED_MS = 1_000;
const GUARD_MS = 10_000;

/**
 * Takes the supervisor's lock, and returns once nothing starts a supervisor anew when it is let go: its unit is stopped, and what guards
 * one that `up` started has ended, as the one it started found the lock held. Throws `locked`, and `command_failed` where the unit cannot
 * be stopped.
 */
async function lockSupervisor(layout: Layout, what: string): Promise<HeldLock> {
  const lock = await waitForLockFile(supervisorLockOf(layout.run), what, FREED_MS);
  try {
    await stopUnit(layout.settings);
    const deadline = Date.now() + GUARD_MS;
    for (const guard of processesWith(0, layout.supervisorCommand)) {
      while (isAlive(guard) && Date.now() < deadline) await pause(20);
      await terminate(guard, 0, 'SIGKILL');
    }
    return lock;
  } catch (error) {
    lock[Symbol.dispose]();
    throw error;
  }
}

/** Kills a supervisor that does not end by itself; all that runs goes on. False where none is there. Throws `process_stuck`. */
async function killSupervisor(layout: Layout): Promise<boolean> {
  const supervisor = supervisorProcess(layout);
  if (!supervisor) return false;
  process.stderr.write(`the supervisor (process ${supervisor.pid}) does not answer, or does not end; it is killed\n`);
  await terminate(supervisor, 0, 'SIGKILL');
  return true;
}

/** As `killSupervisor`, and none is started in its place: one that already was stays. Throws as `lockSupervisor`. */
export async function killForGood(layout: Layout, what: string): Promise<void> {
  await killSupervisor(layout);
  try {
    (await lockSupervisor(layout, what))[Symbol.dispose]();
  } catch (error) {
    if (codeOf(error) !== 'locked') throw error;
  }
}

async function stopPlatform(layout: Layout): Promise<Stopped> {
  try {
    return (await askToStop(layout)) ? 'ended' : 'did not run';
  } catch (error) {
    const late = isSilence(error) || codeOf(error) === 'down_timeout';
    if (late && (await killSupervisor(layout))) return 'killed';
    throw error;
  }
}

/**
 * Stops everything and waits until the supervisor is gone. False where none ran. Throws `no_answer`, and `down_timeout` where it said
 * that it ends.
 */
async function askToStop(layout: Layout): Promise<boolean> {
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
    if (Date.now() > deadline) throw new CupolaError('down_timeout', 'the supervisor did not end in ten seconds');
    await pause(100);
  }
  return true;
}

/** As `statusOrNull`, and null too where it does not answer yet. */
export async function statusSoFar(layout: Layout): Promise<PlatformStatus | null> {
  try {
    return await statusOrNull(layout);
  } catch (error) {
    if (isSilence(error)) return null;
    throw error;
  }
}

/** Null where no supervisor is there. Throws `no_answer`, and `invalid_answer` where one of another version tells otherwise. */
export async function statusOrNull(layout: Layout): Promise<PlatformStatus | null> {
  try {
    return await askSupervisor(layout, 'GET /status');
  } catch (error) {
    if (error instanceof CupolaError && error.code === 'not_running') return null;
    throw error;
  }
}
