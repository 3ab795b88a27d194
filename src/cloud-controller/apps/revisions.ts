import { type Selectable, sql } from 'kysely';
import { Type } from 'typebox';
import type { Db } from '../database.ts';
import { now } from '../database.ts';
import { notFound } from '../errors.ts';
import { listView, narrow, page } from '../list.ts';
import { MetadataInput, mergeMetadata, metadataColumns } from '../metadata.ts';
import { type Call, ok, operation } from '../operation.ts';
import type { Query, QueryRules } from '../query.ts';
import { identityView, type Links, toOne } from '../view.ts';
import { authorizeByApp } from './belongings.ts';
import { type App, authorizeApp } from './store.ts';
import type { RevisionTable } from './tables.ts';
import { metadataView } from './view.ts';

type Revision = Selectable<RevisionTable>;

const revisionQuery = { list: true, labels: true, filters: ['versions'] } as const satisfies QueryRules;

export const revisionOperations = [
  operation({
    id: 'GET /v3/apps/:guid/revisions',
    query: revisionQuery,
    async run(call) {
      const { db, links } = call.context;
      const app = await authorizeApp(call, call.params.guid);
      const found = await listRevisions(db, call.query, app, false);
      const view = (row: Revision) => revisionView(links, row);
      return ok(listView(links, `/v3/apps/${app.guid}/revisions`, call.query, found, view));
    },
  }),
  operation({
    id: 'GET /v3/apps/:guid/revisions/deployed',
    query: revisionQuery,
    async run(call) {
      const { db, links } = call.context;
      const app = await authorizeApp(call, call.params.guid);
      const found = await listRevisions(db, call.query, app, true);
      const view = (row: Revision) => revisionView(links, row);
      return ok(listView(links, `/v3/apps/${app.guid}/revisions/deployed`, call.query, found, view));
    },
  }),
  operation({
    id: 'GET /v3/revisions/:guid',
    async run(call) {
      return ok(revisionView(call.context.links, await authorizedRevision(call, call.params.guid)));
    },
  }),
  operation({
    id: 'PATCH /v3/revisions/:guid',
    body: Type.Object({ metadata: Type.Optional(MetadataInput) }, { additionalProperties: false }),
    async run(call) {
      const { db, links } = call.context;
      const before = await authorizedRevision(call, call.params.guid);
      const row = await db
        .updateTable('revisions')
        .set({ ...metadataColumns(mergeMetadata(before, call.body.metadata)), updated_at: now })
        .where('guid', '=', before.guid)
        .returningAll()
        .executeTakeFirstOrThrow();
      return ok(revisionView(links, row));
    },
  }),
];

async function authorizedRevision(call: Pick<Call, 'authorize' | 'context'>, guid: string): Promise<Revision> {
  const { db } = call.context;
  const row = await db.selectFrom('revisions').selectAll().where('guid', '=', guid).executeTakeFirst();
  return (await authorizeByApp(call, row, notFound('Revision'))).row;
}

async function listRevisions(db: Db, query: Query, app: App, deployed: boolean) {
  const all = db.selectFrom('revisions').selectAll('revisions').where('revisions.app_guid', '=', app.guid);
  let select = narrow(all, 'revisions', query);
  const versions = query.filters.get('versions')?.filter((text) => /^\d{1,9}$/.test(text));
  if (versions) select = select.where('version', 'in', versions.map(Number));
  if (deployed) {
    select = select.where(
      sql<boolean>`revisions.guid IN (SELECT revision_guid FROM processes WHERE app_guid = ${app.guid} AND state = 'STARTED')`,
    );
  }
  return page(db, select, 'revisions', query);
}

function revisionView(links: Links, row: Revision): Record<string, unknown> {
  const path = `/v3/revisions/${row.guid}`;
  return {
    ...identityView(row),
    version: row.version,
    droplet: { guid: row.droplet_guid },
    processes: {},
    sidecars: [],
    description: row.description,
    deployable: true,
    relationships: { app: toOne(row.app_guid) },
    metadata: metadataView(row),
    links: {
      self: links.to(path),
      app: links.to(`/v3/apps/${row.app_guid}`),
      environment_variables: links.to(`${path}/environment_variables`),
    },
  };
}
