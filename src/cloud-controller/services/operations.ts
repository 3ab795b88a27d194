import { notFound } from '../errors.ts';
import { listView } from '../list.ts';
import { ok, operation } from '../operation.ts';
import type { QueryRules } from '../query.ts';

/**
 * The marketplace is empty: no broker can be registered yet, so there are no offerings, plans, instances or bindings.
 * Clients ask for these lists in the middle of push, app and delete.
 */
const EMPTY = { rows: [], total: 0 };

const FILTERS = {
  service_instances: ['names', 'space_guids', 'organization_guids', 'service_plan_guids', 'service_plan_names'],
  service_credential_bindings: [
    'names',
    'service_instance_guids',
    'service_instance_names',
    'app_guids',
    'app_names',
    'service_plan_guids',
    'service_plan_names',
    'service_offering_guids',
    'service_offering_names',
  ],
  service_route_bindings: ['service_instance_guids', 'service_instance_names', 'route_guids'],
  service_brokers: ['names', 'space_guids'],
  service_offerings: ['names', 'service_broker_guids', 'service_broker_names', 'space_guids', 'organization_guids'],
  service_plans: [
    'names',
    'broker_catalog_ids',
    'space_guids',
    'organization_guids',
    'service_broker_guids',
    'service_broker_names',
    'service_offering_guids',
    'service_offering_names',
    'service_instance_guids',
  ],
} as const;

const rules = (resource: keyof typeof FILTERS, more: Partial<QueryRules>): QueryRules => ({
  list: true,
  labels: true,
  orderBy: ['name'],
  filters: FILTERS[resource],
  ...more,
});

const FIELDS = [
  'space',
  'space.organization',
  'service_plan',
  'service_plan.service_offering',
  'service_plan.service_offering.service_broker',
  'service_broker',
  'service_offering.service_broker',
];

export const serviceOperations = [
  operation({
    id: 'GET /v3/service_instances',
    query: rules('service_instances', { values: ['type'], fields: FIELDS }),
    async run(call) {
      call.visibleSpaces();
      return ok(listView(call.context.links, '/v3/service_instances', call.query, EMPTY, () => null, included(call)));
    },
  }),
  operation({
    id: 'GET /v3/service_instances/:guid',
    run: async () => {
      throw notFound('Service instance');
    },
  }),
  operation({
    id: 'GET /v3/service_credential_bindings',
    query: rules('service_credential_bindings', { values: ['type'], include: ['app', 'service_instance'] }),
    async run(call) {
      call.visibleSpaces();
      const path = '/v3/service_credential_bindings';
      return ok(listView(call.context.links, path, call.query, EMPTY, () => null, included(call)));
    },
  }),
  operation({
    id: 'GET /v3/service_credential_bindings/:guid',
    run: async () => {
      throw notFound('Service credential binding');
    },
  }),
  operation({
    id: 'GET /v3/service_route_bindings',
    query: rules('service_route_bindings', { include: ['route', 'service_instance'] }),
    async run(call) {
      call.visibleSpaces();
      return ok(
        listView(call.context.links, '/v3/service_route_bindings', call.query, EMPTY, () => null, included(call)),
      );
    },
  }),
  operation({
    id: 'GET /v3/service_route_bindings/:guid',
    run: async () => {
      throw notFound('Service route binding');
    },
  }),
  operation({
    id: 'GET /v3/service_brokers',
    query: rules('service_brokers', {}),
    run: async (call) => ok(listView(call.context.links, '/v3/service_brokers', call.query, EMPTY, () => null)),
  }),
  operation({
    id: 'GET /v3/service_offerings',
    query: rules('service_offerings', { values: ['available'], fields: FIELDS }),
    run: async (call) =>
      ok(listView(call.context.links, '/v3/service_offerings', call.query, EMPTY, () => null, included(call))),
  }),
  operation({
    id: 'GET /v3/service_plans',
    query: rules('service_plans', {
      values: ['available'],
      fields: FIELDS,
      include: ['service_offering', 'space.organization'],
    }),
    run: async (call) =>
      ok(listView(call.context.links, '/v3/service_plans', call.query, EMPTY, () => null, included(call))),
  }),
];

function included(call: { query: { include: ReadonlySet<string>; fields: ReadonlyMap<string, unknown> } }) {
  return call.query.include.size > 0 || call.query.fields.size > 0 ? {} : undefined;
}
