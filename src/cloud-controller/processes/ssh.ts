import type { MessageInitShape } from '@bufbuild/protobuf';
import type { SshAccessResponseSchema } from '../../contracts/gen/cloud-controller_pb.js';
import { recordObservation } from '../apps/events.ts';
import { ownerOf } from '../apps/log-lines.ts';
import { sshAccess } from '../apps/ssh.ts';
import { type App, findApp } from '../apps/store.ts';
import { authorize, type Caller, checkScope, forBearer, placeInSpace } from '../authorization.ts';
import type { Context } from '../context.ts';
import { CfError, isRefusal, notFound } from '../errors.ts';
import { guid } from '../guid.ts';
import { lrpGuid } from './lrp-guid.ts';
import { findProcess, findProcessOfType } from './store.ts';

export interface SshRequest {
  accessToken: string;
  /** Of a process, or of an app for its web process. */
  processGuid: string;
  index: number;
}

/** May the bearer of the token open a session in the instance (CC-03, CC-04)? Whoever may change the app, while SSH is on. An audit event either way. */
export async function sshPermission(
  context: Context,
  request: SshRequest,
): Promise<MessageInitShape<typeof SshAccessResponseSchema>> {
  try {
    return await forBearer(request.accessToken, context, (caller) => permissionOf(context, caller, request));
  } catch (error) {
    if (isRefusal(error)) return { allowed: false };
    throw error;
  }
}

async function permissionOf(
  context: Context,
  caller: Caller,
  request: SshRequest,
): Promise<MessageInitShape<typeof SshAccessResponseSchema>> {
  const { db } = context;
  const refused = { allowed: false };
  const process =
    (await findProcess(db, request.processGuid)) ??
    (await findProcessOfType(db, guid<'app'>(request.processGuid), 'web'));
  const app = process ? await findApp(db, process.app_guid) : null;
  if (!process || !app) return refused;
  const allowed =
    (await mayChange(context, caller, app)) &&
    process.state === 'STARTED' &&
    request.index < process.instances &&
    (await sshAccess(context, app)).enabled;
  await recordObservation(db, allowed ? 'audit.app.ssh-authorized' : 'audit.app.ssh-unauthorized', caller.actor, app, {
    index: request.index,
  });
  if (!allowed) return refused;
  return {
    allowed,
    lrpProcessGuid: lrpGuid(process.guid, process.version),
    userGuid: caller.actor.guid,
    owner: { ...ownerOf(app), processGuid: process.guid, processType: process.type },
  };
}

async function mayChange(context: Context, caller: Caller, app: App): Promise<boolean> {
  try {
    checkScope(caller, 'PATCH');
    await authorize(context.db, caller, 'PATCH /v3/apps/:guid', placeInSpace(app), notFound('App'));
    return true;
  } catch (error) {
    if (error instanceof CfError) return false;
    throw error;
  }
}
