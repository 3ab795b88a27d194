import { countRead } from '../../kit/answer-account.ts';
import { recordAppEvent } from '../apps/events.ts';
import type { App } from '../apps/store.ts';
import { FILE_DESCRIPTORS } from '../apps/vcap-application.ts';
import type { Actor } from '../authorization.ts';
import type { Context } from '../context.ts';
import { CfError, notFound } from '../errors.ts';
import { placementTags } from '../isolation-segments/placement.ts';
import { type ListedProcess, requireCurrent, type ShownProcess } from './shown.ts';
import { type InstanceView, presentInstances, presentStats, type ShortInstance, type StatsProcess } from './stats.ts';
import type { Process } from './store.ts';

function statsProcess(process: Omit<Process, 'command'>, isolationSegment: string | null = null): StatsProcess {
  return {
    type: process.type,
    instances: process.instances,
    memoryMb: process.memory_mb,
    diskMb: process.disk_mb,
    logRateLimit: process.log_rate_limit,
    fileDescriptors: FILE_DESCRIPTORS,
    isStarted: process.state === 'STARTED',
    isolationSegment,
  };
}

/**
 * `GET …/stats`, from Diego's actual LRPs and the cells' figures. Where there are no figures, `warn` is told. Throws
 * InstancesUnavailable while Diego is away.
 */
export async function statsOf(
  context: Context,
  process: ShownProcess & { app: App },
  warn: (sentence: string) => void,
): Promise<InstanceView[]> {
  const guid = process.lrp_guid;
  const { actualLrps } = await asking(context, () => context.bbs.actualLrps({ processGuids: [guid] }));
  const running = actualLrps.some((lrp) => lrp.state === 'RUNNING');
  // Figures come from the cells; one that is slow or gone must not hide the states.
  const { stats } = running
    ? await context.bbs.instanceStats({ processGuid: guid }).catch((error: unknown) => {
        context.log.warn('the cells gave no figures', { process: process.guid, error });
        warn('Stats server temporarily unavailable.');
        return { stats: [] };
      })
    : { stats: [] };
  const [segment = null] = await placementTags(context.db, process.app.space_guid);
  return presentStats(statsProcess(process, segment), actualLrps, stats, context.clock().getTime());
}

/** What each of these processes runs, by process guid. Throws InstancesUnavailable while Diego is away. */
export async function instancesOf(
  context: Context,
  processes: readonly ListedProcess[],
): Promise<ReadonlyMap<string, readonly ShortInstance[]>> {
  if (processes.length === 0) return new Map();
  const processGuids = processes.map((process) => process.lrp_guid);
  const { actualLrps } = await asking(context, () => context.bbs.actualLrps({ processGuids }));
  const nowMs = context.clock().getTime();
  const lrps = Map.groupBy(actualLrps, (lrp) => lrp.processGuid);
  const presented = new Map<string, readonly ShortInstance[]>();
  for (const process of processes) {
    const instances = presentInstances(statsProcess(process), lrps.get(process.lrp_guid) ?? [], nowMs);
    // They are as many as somebody wrote, whether they run or not.
    countRead(instances);
    presented.set(process.guid, instances);
  }
  return presented;
}

/** It is asked within a transaction, whose connection others wait for. */
const RETIRE_LIMIT_MS = 5_000;

/**
 * Stops the instance of this index, as a path says it; Diego starts it anew. Throws ResourceNotFound where there is none,
 * UnprocessableEntity, InstancesUnavailable while Diego is away.
 */
export async function retireInstance(
  context: Context,
  process: ShownProcess & { app: App },
  index: string,
  actor: Actor,
): Promise<void> {
  requireCurrent(process);
  const instance = instanceAt(process, index);
  await context.db.transaction().execute(async (trx) => {
    await recordAppEvent(trx, 'audit.app.process.terminate_instance', actor, process.app, {
      process_guid: process.guid,
      process_type: process.type,
      process_index: instance.index,
    });
    // Last, so that nothing is stopped whose event could not be written.
    await asking(context, () => context.bbs.retireActualLrp(instance, { timeoutMs: RETIRE_LIMIT_MS }));
  });
  context.log.info('an instance was retired', { app: process.app.guid, process: process.guid, index: instance.index });
}

function instanceAt(process: ShownProcess, text: string): { processGuid: string; index: number } {
  const index = /^\d{1,5}$/.test(text) ? Number(text) : -1;
  if (index < 0 || index >= process.instances || process.state !== 'STARTED') throw notFound('Instance');
  return { processGuid: process.lrp_guid, index };
}

async function asking<T>(context: Context, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (cause) {
    context.log.warn('Diego did not answer', { error: cause });
    throw new CfError('InstancesUnavailable', 'Instances information unavailable: Diego is not answering', { cause });
  }
}
