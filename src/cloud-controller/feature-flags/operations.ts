import { Type } from 'typebox';
import { recordEvent } from '../audit-events/store.ts';
import type { Db } from '../database.ts';
import { now } from '../database.ts';
import { notFound } from '../errors.ts';
import { listView } from '../list.ts';
import { ok, operation } from '../operation.ts';
import { type Links, timestamp } from '../view.ts';
import { FEATURE_FLAGS, type FeatureFlagName, type FeatureFlagTable, isFeatureFlagName } from './store.ts';

const UpdateFeatureFlag = Type.Object(
  {
    enabled: Type.Boolean(),
    custom_error_message: Type.Optional(Type.Union([Type.Null(), Type.String({ maxLength: 250 })])),
  },
  { additionalProperties: false },
);

export const featureFlagOperations = [
  operation({
    id: 'GET /v3/feature_flags',
    query: { list: true },
    async run(call) {
      const { db, links } = call.context;
      const changed = new Map(
        (await db.selectFrom('feature_flags').selectAll().execute()).map((row) => [row.name, row]),
      );
      const names = Object.keys(FEATURE_FLAGS).filter(isFeatureFlagName);
      const start = (call.query.page - 1) * call.query.perPage;
      const found = { rows: names.slice(start, start + call.query.perPage), total: names.length };
      return ok(
        listView(links, '/v3/feature_flags', call.query, found, (name) => flagView(links, name, changed.get(name))),
      );
    },
  }),

  operation({
    id: 'GET /v3/feature_flags/:name',
    async run(call) {
      const { db, links } = call.context;
      const { name } = call.params;
      if (!isFeatureFlagName(name)) throw notFound('Feature flag');
      return ok(flagView(links, name, await find(db, name)));
    },
  }),

  operation({
    id: 'PATCH /v3/feature_flags/:name',
    body: UpdateFeatureFlag,
    async run(call) {
      const { db, links } = call.context;
      const { name } = call.params;
      if (!isFeatureFlagName(name)) throw notFound('Feature flag');
      const { enabled, custom_error_message: message = null } = call.body;
      await db.transaction().execute(async (trx) => {
        await trx
          .insertInto('feature_flags')
          .values({ name, enabled, custom_error_message: message, updated_at: now })
          .onConflict((conflict) =>
            conflict.column('name').doUpdateSet({ enabled, custom_error_message: message, updated_at: now }),
          )
          .execute();
        await recordEvent(trx, {
          type: 'audit.feature_flag.update',
          actor: call.actor,
          target: { guid: name, type: 'feature_flag', name },
          organizationGuid: null,
          data: { request: { ...call.body } },
        });
      });
      return ok(flagView(links, name, await find(db, name)));
    },
  }),
];

async function find(db: Db, name: FeatureFlagName): Promise<FeatureFlagTable | undefined> {
  return db.selectFrom('feature_flags').selectAll().where('name', '=', name).executeTakeFirst();
}

function flagView(links: Links, name: FeatureFlagName, changed: FeatureFlagTable | undefined): Record<string, unknown> {
  return {
    name,
    enabled: changed?.enabled ?? FEATURE_FLAGS[name],
    updated_at: changed ? timestamp(changed.updated_at) : null,
    custom_error_message: changed?.custom_error_message ?? null,
    links: { self: links.to(`/v3/feature_flags/${name}`) },
  };
}
