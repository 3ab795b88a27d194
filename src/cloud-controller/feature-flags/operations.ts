import { auditEvent } from '../audit-events/event.ts';
import { recordEvent } from '../audit-events/store.ts';
import { listView, matchesTimes } from '../list.ts';
import { ok, operation } from '../operation.ts';
import { PageOf } from '../standard.ts';
import { UpdateFeatureFlag } from './schema.ts';
import { allFeatureFlags, setFeatureFlag } from './store.ts';
import { featureFlag } from './subject.ts';
import { FeatureFlagView, featureFlagView } from './view.ts';

export const featureFlagOperations = [
  operation('GET /v3/feature_flags', {
    query: { list: true, orderOnlyBy: ['name'] },
    answers: { 200: PageOf(FeatureFlagView) },
    async run({ context, path, query }) {
      // A flag has no guid, so none is asked for by one.
      const flags = query.filters.has('guids') ? [] : await allFeatureFlags(context.db);
      const asked = flags.filter(({ updated_at }) => matchesTimes(query, { updated_at }));
      if (query.orderBy?.column === 'name' && query.orderBy.descending) asked.reverse();
      const start = (query.page - 1) * query.perPage;
      const found = { rows: asked.slice(start, start + query.perPage), total: asked.length };
      return ok(listView(context.links, path, query, found, (flag) => featureFlagView(context.links, flag)));
    },
  }),

  operation('GET /v3/feature_flags/:name', {
    on: { flag: featureFlag },
    answers: { 200: FeatureFlagView },
    run: async ({ context, subject }) => ok(featureFlagView(context.links, subject.flag)),
  }),

  operation('PATCH /v3/feature_flags/:name', {
    on: { flag: featureFlag },
    body: UpdateFeatureFlag,
    answers: { 200: FeatureFlagView },
    async run({ context, subject, body, actor }) {
      const { name } = subject.flag;
      const flag = await context.db.transaction().execute(async (trx) => {
        await recordEvent(trx, auditEvent('audit.feature_flag.update', actor, { guid: name, name }, { request: body }));
        return setFeatureFlag(trx, name, body);
      });
      if (name === 'diego_docker') context.changed('all');
      return ok(featureFlagView(context.links, flag));
    },
  }),
];
