import type { Context } from '../context.ts';
import type { App } from './store.ts';

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
