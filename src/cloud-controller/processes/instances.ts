import { type App, findApp } from '../apps/store.ts';
import type { Context } from '../context.ts';
import { placementTags } from '../diego/placement.ts';
import { lrpGuid } from '../diego/recipe.ts';
import { CfError, notFound } from '../errors.ts';
import { type InstanceView, presentInstances, presentStats, type StatsProcess } from './stats.ts';
import type { Process } from './store.ts';

/** What an app's process may open; the cell sets the same. */
export const FILE_DESCRIPTORS = 16_384;

function statsProcess(process: Process, isolationSegment: string | null = null): StatsProcess {
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

/** `GET …/stats`, from Diego's actual LRPs and the cells' figures. Throws InstancesUnavailable while Diego is away. */
export async function statsOf(context: Context, process: Process): Promise<InstanceView[]> {
  const guid = lrpGuid(process.guid, process.version);
  const { actualLrps } = await asking(context, () => context.bbs.actualLrps({ processGuids: [guid] }));
  const running = actualLrps.some((lrp) => lrp.state === 'RUNNING');
  // Figures come from the cells; one that is slow or gone must not hide the states.
  const { stats } = running
    ? await context.bbs.instanceStats({ processGuid: guid }).catch((error: unknown) => {
        context.log.warn('the cells gave no figures', { process: process.guid, error });
        return { stats: [] };
      })
    : { stats: [] };
  const app = await findApp(context.db, process.app_guid);
  const [segment = null] = app ? await placementTags(context.db, app.space_guid) : [];
  return presentStats(statsProcess(process, segment), actualLrps, stats, context.clock().getTime());
}

export async function instancesOf(context: Context, process: Process) {
  const guid = lrpGuid(process.guid, process.version);
  const { actualLrps } = await asking(context, () => context.bbs.actualLrps({ processGuids: [guid] }));
  return presentInstances(statsProcess(process), actualLrps, context.clock().getTime());
}

/** Stops one instance; Diego starts it anew. Throws where there is no such index. */
export async function retireInstance(context: Context, app: App, process: Process, text: string): Promise<void> {
  const index = /^\d{1,5}$/.test(text) ? Number(text) : -1;
  if (index < 0 || index >= process.instances || process.state !== 'STARTED') throw notFound('Instance');
  const guid = lrpGuid(process.guid, process.version);
  await asking(context, () => context.bbs.retireActualLrp({ processGuid: guid, index }));
  context.log.info('an instance was retired', { app: app.guid, process: process.guid, index });
}

async function asking<T>(context: Context, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (cause) {
    context.log.warn('Diego did not answer', { error: cause });
    throw new CfError('InstancesUnavailable', 'Instances information unavailable: Diego is not answering', { cause });
  }
}
