import { appEvent } from '../apps/events.ts';
import { recordEvents } from '../audit-events/store.ts';
import type { Actor } from '../authorization.ts';
import type { Context, GoingApp } from '../context.ts';
import type { Trx } from '../database.ts';
import { processesOfApp } from './store.ts';

/** What goes with an app has an event of its own. */
export async function deleteProcessesOfApp(
  _context: Context,
  trx: Trx,
  app: GoingApp,
  actor: Actor,
): Promise<undefined> {
  const processes = await processesOfApp(trx, app.guid);
  await recordEvents(
    trx,
    processes.map(({ guid, type }) =>
      appEvent('audit.app.process.delete', actor, app, { process_guid: guid, process_type: type }),
    ),
  );
}
