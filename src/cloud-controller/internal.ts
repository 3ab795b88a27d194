import type { ConnectRouter } from '@connectrpc/connect';
import { sql } from 'kysely';
import { CloudControllerInternal } from '../contracts/gen/cloud-controller_pb.js';
import { recordAppEvent, recordObservation } from './apps/events.ts';
import { logLine } from './apps/log-lines.ts';
import { findApp } from './apps/store.ts';
import { forBearer, spacesWhere } from './authorization.ts';
import { completeBuild } from './builds/complete.ts';
import type { Context } from './context.ts';
import { STAGING_DOMAIN, TASK_DOMAIN } from './diego/recipe.ts';
import { isRefusal } from './errors.ts';
import { guid } from './guid.ts';
import { processGuidOf, versionOf } from './processes/lrp-guid.ts';
import { sshPermission } from './processes/ssh.ts';
import { findProcess } from './processes/store.ts';
import { completeTask } from './tasks/complete.ts';

/** What other rooms ask of the Cloud Controller, over the internal contract. */
export function internalRoutes(context: Context): (router: ConnectRouter) => void {
  return ({ service }) =>
    service(CloudControllerInternal, {
      logAccess: async ({ accessToken, sourceIds }) => ({
        allowed: await readableLogs(context, accessToken, sourceIds),
      }),
      sshAccess: (request) => sshPermission(context, request),
      taskCompleted: async (request) => {
        if (request.domain === STAGING_DOMAIN) await completeBuild(context, guid<'build'>(request.taskGuid), request);
        else if (request.domain === TASK_DOMAIN) await completeTask(context, request.taskGuid, request);
        return {};
      },
      lrpCrashed: async (request) => {
        await recordCrash(context, request);
        return {};
      },
      lrpReadinessChanged: async (request) => {
        await recordReadiness(context, request);
        return {};
      },
    });
}

/** Whoever sees an app may read its logs; everything else, errors of the token included, is a plain no. Throws where UAA is needed and away. */
async function readableLogs(context: Context, token: string, appGuids: readonly string[]): Promise<string[]> {
  try {
    return await forBearer(token, context, async (caller) => {
      if (!caller.mayRead) return [];
      const spaces = spacesWhere(caller, 'GET /v3/apps/:guid');
      const apps = context.db.selectFrom('apps').select('guid').where(sql<boolean>`guid = ANY(${appGuids})`);
      const seen = spaces.everything ? apps : apps.where(sql<boolean>`space_guid IN ${spaces.guids}`);
      return (await seen.execute()).map(({ guid }) => guid);
    });
  } catch (error) {
    if (isRefusal(error)) return [];
    throw error;
  }
}

interface Crash {
  processGuid: string;
  index: number;
  instanceGuid: string;
  cellId: string;
  reason: string;
  crashCount: number;
}

async function recordCrash(context: Context, crash: Crash): Promise<void> {
  const process = await findProcess(context.db, processGuidOf(crash.processGuid));
  const app = process ? await findApp(context.db, process.app_guid) : null;
  if (!process || !app) return;
  const details = {
    instance: crash.instanceGuid,
    index: crash.index,
    cell_id: crash.cellId,
    reason: 'CRASHED' as const,
    exit_description: crash.reason.slice(0, 1000),
    crash_count: crash.crashCount,
  };
  await context.db.transaction().execute(async (trx) => {
    const actor = { guid: process.guid, type: 'process', name: process.type };
    await recordAppEvent(trx, 'audit.app.process.crash', actor, app, details);
    await recordAppEvent(trx, 'app.crash', { guid: app.guid, type: 'app', name: app.name }, app, details);
  });
  logLine(context, app, `App instance exited with guid ${app.guid} payload: ${JSON.stringify(details)}`);
}

async function recordReadiness(context: Context, change: Omit<Crash, 'reason' | 'crashCount'> & { ready: boolean }) {
  const process = await findProcess(context.db, processGuidOf(change.processGuid));
  const app = process ? await findApp(context.db, process.app_guid) : null;
  if (!process || !app) return;
  const { instanceGuid: instance, index, cellId: cell_id, ready } = change;
  const details = { instance, index, cell_id, ready, version: versionOf(change.processGuid) };
  const actor = { guid: process.guid, type: 'process', name: process.type };
  const type = ready ? 'audit.app.process.ready' : 'audit.app.process.not-ready';
  await recordObservation(context.db, type, actor, app, details);
  const became = ready ? 'became ready' : 'became not ready';
  logLine(context, app, `Process ${became} with guid ${process.guid} payload: ${JSON.stringify(details)}`);
}
