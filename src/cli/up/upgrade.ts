import { setTimeout as pause } from 'node:timers/promises';
import { CupolaError, messageOf } from '../../kit/errors.ts';
import type { Logger } from '../../kit/log.ts';
import { PROJECT, programDigest } from '../../kit/project.js';
import type { PlatformStatus } from '../../platform/admin-messages.ts';
import { removeFormerData, requireCarryOver, yieldData } from '../../platform/former-data.ts';
import type { Layout } from '../../platform/layout.ts';
import { commandFor } from '../../platform/settings/data-option.ts';
import { askSupervisor } from '../../platform/supervisor-client.ts';
import type { Progress } from '../progress.ts';
import { killForGood, statusOrNull, statusSoFar } from '../stopping.ts';
import { isCarrying } from './carrying.ts';
import { install } from './install.ts';
import { startSupervisor, supervisorMain } from './start.ts';

const LIMIT_MS = 5 * 60_000;
/** A supervisor that takes over answers within this. */
const SILENCE_MS = 20_000;

interface UpgradeOptions {
  layout: Layout;
  log: Logger;
  progress: Progress;
}

/**
 * Hands the running platform over to the code of this checkout: the supervisor becomes that code's, adopts every process and
 * replaces, one at a time, those that would be started differently now. Throws `not_running`, `no_room`, `engine_missing`, `upgrade_unknown` where the
 * running code cannot hand over, and `upgrade_rolled_back` or `upgrade_failed` where the new code did not come up.
 */
export async function upgradePlatform({ layout, log, progress }: UpgradeOptions): Promise<{ replaced: string[] }> {
  const before = await statusOrNull(layout).catch((cause: unknown) => {
    if (!(cause instanceof CupolaError) || cause.code !== 'invalid_answer') throw cause;
    const advice = `${commandFor('down', layout.settings)}, then ${commandFor('up', layout.settings)}`;
    throw new CupolaError('upgrade_unknown', `the running version cannot hand over; ${advice}`, { cause });
  });
  if (!before) {
    const advice = `${commandFor('up', layout.settings)} starts it with this code`;
    throw new CupolaError('not_running', `the platform does not run; ${advice}`);
  }
  if (!before.ready) throw new CupolaError('not_ready', 'the platform is not well; an upgrade would hide why');
  const program = programDigest();
  if (before.supervisor.program === program && before.update.outdated.length === 0) return { replaced: [] };
  await install({ project: PROJECT, layout, log, progress });
  await requireCarryOver(layout);
  const after = await handOver({ layout, log, progress }, before, program);
  await removeFormerData(layout, before.database?.remains ?? []);
  progress.done();
  const pids = new Map(before.components.map(({ name, pid }) => [name, pid]));
  return { replaced: after.components.flatMap(({ name, pid }) => (pids.get(name) === pid ? [] : [name])) };
}

/** To this code, whose digest `program` is; where that fails, to the code of before again. Gives what runs then. */
async function handOver(
  { layout, log, progress }: UpgradeOptions,
  before: PlatformStatus,
  program: string,
): Promise<PlatformStatus> {
  progress.step('Handing over to the new supervisor');
  try {
    await askSupervisor(layout, 'POST /upgrade', { node: process.execPath, main: supervisorMain(PROJECT) });
    progress.step('Replacing what changed, one after the other');
    return await untilUpdated(layout, program, progress);
  } catch (cause) {
    log.error('the upgrade failed; the code of before takes over again', { error: messageOf(cause) });
    progress.step('It failed; going back');
    await goBack(layout, before, progress).catch((error: unknown) => {
      throw new CupolaError(
        'upgrade_failed',
        `the upgrade failed (${messageOf(cause)}), and so did going back; ${before.supervisor.project} is the code of before`,
        { cause: error },
      );
    });
    throw new CupolaError('upgrade_rolled_back', 'the upgrade failed; the code of before runs again', { cause });
  }
}

/**
 * The supervisor of before again: by handing over, or started where none answers, which is killed if it is there. Migrations stay; the
 * code of before runs with them.
 */
export async function goBack(layout: Layout, before: PlatformStatus, progress: Progress): Promise<void> {
  const { node, project, program } = before.supervisor;
  if (await statusSoFar(layout)) await askSupervisor(layout, 'POST /upgrade', { node, main: supervisorMain(project) });
  else {
    await killForGood(layout, 'upgrade');
    await yieldData(layout, supervisorMain(project));
    startSupervisor(layout, node, project);
  }
  await untilUpdated(layout, program, progress);
}

/** The running supervisor begins anew with the image of the engines that is chosen now, and replaces what runs of another. Throws as `upgradePlatform`. */
export async function changeEngines(
  layout: Layout,
  { node, project, program }: PlatformStatus['supervisor'],
  engines: string,
  progress: Progress,
): Promise<void> {
  await askSupervisor(layout, 'POST /upgrade', { node, main: supervisorMain(project) });
  await untilUpdated(layout, program, progress, engines);
}

async function untilUpdated(
  layout: Layout,
  program: string,
  progress: Progress,
  engines?: string,
): Promise<PlatformStatus> {
  let deadline = Date.now() + LIMIT_MS;
  let heard = Date.now();
  for (;;) {
    await pause(200);
    const status = await statusSoFar(layout);
    if (status) heard = Date.now();
    const isMeant = engines === undefined || status?.supervisor.engines === engines;
    if (status?.supervisor.program === program && isMeant) {
      if (status.update.problem !== null) throw new CupolaError('update_stopped', status.update.problem);
      if (status.ready && status.update.outdated.length === 0 && !status.update.running) return status;
      if (isCarrying(status)) deadline = Date.now() + LIMIT_MS;
      progress.detail(`Still to be replaced: ${status.update.outdated.join(', ') || 'nothing; waiting for the API'}`);
    }
    if (Date.now() - heard > SILENCE_MS) throw new CupolaError('supervisor_ended', 'the supervisor does not answer');
    if (Date.now() > deadline) throw new CupolaError('not_ready', `not ready after ${LIMIT_MS / 60_000} minutes`);
  }
}
