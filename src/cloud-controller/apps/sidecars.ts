import type { Selectable } from 'kysely';
import { notFound } from '../errors.ts';
import { listView, narrow, page } from '../list.ts';
import { ok, operation } from '../operation.ts';
import { findProcess } from '../processes/store.ts';
import { identityView, toOne } from '../view.ts';
import { authorizeApp, findApp, placeOf } from './store.ts';
import type { SidecarTable } from './tables.ts';

export const sidecarOperations = [
  operation({
    id: 'GET /v3/apps/:guid/sidecars',
    query: { list: true },
    async run(call) {
      const { db, links } = call.context;
      const app = await authorizeApp(call, call.params.guid);
      const select = db.selectFrom('sidecars').selectAll('sidecars').where('sidecars.app_guid', '=', app.guid);
      const found = await page(db, narrow(select, 'sidecars', call.query), 'sidecars', call.query);
      return ok(listView(links, `/v3/apps/${app.guid}/sidecars`, call.query, found, sidecarView));
    },
  }),
  operation({
    id: 'GET /v3/processes/:guid/sidecars',
    query: { list: true },
    async run(call) {
      const { db, links } = call.context;
      const process = await findProcess(db, call.params.guid);
      const app = process ? await findApp(db, process.app_guid) : null;
      if (!process || !app) throw notFound('Process');
      await call.authorize(placeOf(app), notFound('Process'));
      const select = db
        .selectFrom('sidecars')
        .selectAll('sidecars')
        .where('sidecars.app_guid', '=', app.guid)
        .where((eb) => eb(eb.val(process.type), '=', eb.fn.any('sidecars.process_types')));
      const found = await page(db, narrow(select, 'sidecars', call.query), 'sidecars', call.query);
      return ok(listView(links, `/v3/processes/${process.guid}/sidecars`, call.query, found, sidecarView));
    },
  }),
];

function sidecarView(row: Selectable<SidecarTable>): Record<string, unknown> {
  return {
    ...identityView(row),
    name: row.name,
    command: row.command,
    process_types: row.process_types,
    memory_in_mb: row.memory_mb,
    origin: 'user',
    relationships: { app: toOne(row.app_guid) },
  };
}
