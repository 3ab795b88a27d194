import { recordAppEvent } from '../apps/events.ts';
import type { App } from '../apps/store.ts';
import { sealedVariables } from '../apps/variables.ts';
import type { Actor } from '../authorization.ts';
import type { Trx } from '../database.ts';
import type { Guid } from '../guid.ts';
import { processesOfApp } from '../processes/store.ts';
import { insertRevision, latestRevision } from './store.ts';

/** A revision for each droplet an app is started with; none where the feature is off. Gives its guid. */
export async function reviseApp(
  trx: Trx,
  actor: Actor,
  app: App,
  dropletGuid: Guid<'droplet'>,
): Promise<string | null> {
  if (!app.revisions_enabled) return null;
  const last = await latestRevision(trx, app.guid);
  if (last?.droplet_guid === dropletGuid) return last.guid;
  const version = (last?.version ?? 0) + 1;
  const processes = await processesOfApp(trx, app.guid);
  const guid = await insertRevision(trx, await sealedVariables(trx, app.guid), {
    appGuid: app.guid,
    version,
    dropletGuid,
    description: last ? 'New droplet deployed.' : 'Initial revision.',
    commands: Object.fromEntries(processes.map(({ type, command }) => [type, command])),
  });
  await recordAppEvent(trx, 'audit.app.revision.create', actor, app, {
    revision_guid: guid,
    revision_version: version,
  });
  return guid;
}
