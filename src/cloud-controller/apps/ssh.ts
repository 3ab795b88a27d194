import type { Static } from 'typebox';
import type { Context } from '../context.ts';
import { findSpace } from '../spaces/store.ts';
import type { App } from './store.ts';
import type { SshView } from './view.ts';

/** Whether `cf ssh` may reach the app, and what forbids it (CC-03). */
export async function sshAccess(
  { db, settings }: Pick<Context, 'db' | 'settings'>,
  app: App,
): Promise<Static<typeof SshView>> {
  if (settings.sshHostKeyFingerprint === null) return { enabled: false, reason: 'Disabled globally' };
  const space = await findSpace(db, app.space_guid);
  if (!space?.allow_ssh) return { enabled: false, reason: `Disabled for space ${app.space_name}` };
  if (!app.ssh_enabled) return { enabled: false, reason: 'Disabled for app' };
  return { enabled: true, reason: '' };
}
