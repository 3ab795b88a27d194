import type { ConnectRouter } from '@connectrpc/connect';
import { InvalidTokenError } from '../contracts/access-token.ts';
import { CloudControllerInternal } from '../contracts/gen/cloud-controller_pb.js';
import { recordAppEvent } from './apps/events.ts';
import { logLine } from './apps/log-lines.ts';
import { sshPermission } from './apps/ssh.ts';
import { findApp, placeOf } from './apps/store.ts';
import { authenticate, authorize } from './authorization.ts';
import { completeBuild } from './builds/complete.ts';
import type { Context } from './context.ts';
import { processGuidOf, STAGING_DOMAIN, TASK_DOMAIN, versionOf } from './diego/recipe.ts';
import { CfError, notFound } from './errors.ts';
import { findProcess } from './processes/store.ts';
import { completeTask } from './tasks/complete.ts';

/** What other rooms ask of the Cloud Controller, over the internal contract. */
export function internalRoutes(context: Context): (router: ConnectRouter) => void {
  return ({ service }) =>
    service(CloudControllerInternal, {
      logAccess: async ({ accessToken, sourceId }) => ({ allowed: await mayReadLogs(context, accessToken, sourceId) }),
      sshAccess: (request) => sshPermission(context, request),
      taskCompleted: async (request) => {
        if (request.domain === STAGING_DOMAIN) await completeBuild(context, request.taskGuid, request);
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

/** Whoever sees the app may read its logs; everything else, errors of the token included, is a plain no. */
async function mayReadLogs(context: Context, token: string, appGuid: string): Promise<boolean> {
  try {
    const caller = await authenticate(`bearer ${token}`, context.tokens, context.users);
    const app = await findApp(context.db, appGuid);
    if (!app || !caller.mayRead) return false;
    await authorize(context.db, caller, 'GET /v3/apps/:guid', placeOf(app), notFound('App'));
    return true;
  } catch (error) {
    if (error instanceof CfError || error instanceof InvalidTokenError) return false;
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
    reason: 'CRASHED',
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
  await recordAppEvent(context.db, `audit.app.process.${ready ? 'ready' : 'not-ready'}`, actor, app, details);
  const became = ready ? 'became ready' : 'became not ready';
  logLine(context, app, `Process ${became} with guid ${process.guid} payload: ${JSON.stringify(details)}`);
}
