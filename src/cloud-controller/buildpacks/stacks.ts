import { metadataView } from '../apps/view.ts';
import { notFound } from '../errors.ts';
import { listView, narrow, page } from '../list.ts';
import { ok, operation } from '../operation.ts';
import { identityView, type Links } from '../view.ts';
import { DEFAULT_STACK, type Stack } from './store.ts';

export const stackOperations = [
  operation({
    id: 'GET /v3/stacks',
    query: { list: true, labels: true, orderBy: ['name'], filters: ['names'], values: ['default'] },
    async run(call) {
      const { db, links } = call.context;
      let select = narrow(db.selectFrom('stacks').selectAll('stacks'), 'stacks', call.query);
      const names = call.query.filters.get('names');
      if (names) select = select.where('name', 'in', names);
      if (call.query.values.get('default') === 'true') select = select.where('name', '=', DEFAULT_STACK);
      const found = await page(db, select, 'stacks', call.query);
      return ok(listView(links, '/v3/stacks', call.query, found, (row) => stackView(links, row)));
    },
  }),
  operation({
    id: 'GET /v3/stacks/:guid',
    async run(call) {
      const { db, links } = call.context;
      const row = await db.selectFrom('stacks').selectAll().where('guid', '=', call.params.guid).executeTakeFirst();
      if (!row) throw notFound('Stack');
      return ok(stackView(links, row));
    },
  }),
];

function stackView(links: Links, row: Stack): Record<string, unknown> {
  return {
    ...identityView(row),
    name: row.name,
    description: row.description,
    state: 'ACTIVE',
    state_reason: null,
    run_rootfs_image: row.name,
    build_rootfs_image: row.name,
    default: row.name === DEFAULT_STACK,
    metadata: metadataView(row),
    links: { self: links.to(`/v3/stacks/${row.guid}`) },
  };
}
