import type { MessageInitShape } from '@bufbuild/protobuf';
import { InvalidTokenError } from '../../contracts/access-token.ts';
import type { SshAccessResponseSchema } from '../../contracts/gen/cloud-controller_pb.js';
import { authenticate, authorize, type Caller, checkScope } from '../authorization.ts';
import type { Context } from '../context.ts';
import { lrpGuid } from '../diego/recipe.ts';
import { CfError, notFound } from '../errors.ts';
import { findProcess, findProcessOfType } from '../processes/store.ts';
import { recordAppEvent } from './events.ts';
import { type App, findApp, placeOf } from './store.ts';

/** Whether `cf ssh` may reach the app, and what forbids it (CC-03). */
export async function sshAccess(
  context: Pick<Context, 'db' | 'settings'>,
  app: App,
): Promise<{ enabled: boolean; reason: string }> {
  if (context.settings.sshHostKeyFingerprint === null) return { enabled: false, reason: 'Disabled globally' };
  const space = await context.db
    .selectFrom('spaces')
    .select('allow_ssh')
    .where('guid', '=', app.space_guid)
    .executeTakeFirstOrThrow();
  if (!space.allow_ssh) return { enabled: false, reason: `Disabled for space ${app.space_name}` };
  if (!app.ssh_enabled) return { enabled: false, reason: 'Disabled for app' };
  return { enabled: true, reason: '' };
}

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
  const { db } = context;
  const refused = { allowed: false };
  const process =
    (await findProcess(db, request.processGuid)) ?? (await findProcessOfType(db, request.processGuid, 'web'));
  const app = process ? await findApp(db, process.app_guid) : null;
  const caller = await callerOrNull(context, request.accessToken);
  if (!process || !app || !caller) return refused;
  const allowed =
    (await mayChange(context, caller, app)) &&
    process.state === 'STARTED' &&
    request.index < process.instances &&
    (await sshAccess(context, app)).enabled;
  await recordAppEvent(db, allowed ? 'audit.app.ssh-authorized' : 'audit.app.ssh-unauthorized', caller.actor, app, {
    index: request.index,
  });
  if (!allowed) return refused;
  return {
    allowed,
    lrpProcessGuid: lrpGuid(process.guid, process.version),
    appGuid: app.guid,
    userGuid: caller.actor.guid,
  };
}

async function callerOrNull(context: Context, token: string): Promise<Caller | null> {
  try {
    return await authenticate(`bearer ${token}`, context.tokens, context.users);
  } catch (error) {
    if (error instanceof CfError || error instanceof InvalidTokenError) return null;
    throw error;
  }
}

async function mayChange(context: Context, caller: Caller, app: App): Promise<boolean> {
  try {
    checkScope(caller, 'PATCH');
    await authorize(context.db, caller, 'PATCH /v3/apps/:guid', placeOf(app), notFound('App'));
    return true;
  } catch (error) {
    if (error instanceof CfError) return false;
    throw error;
  }
}
