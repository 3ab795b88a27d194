import { operation } from '../operation.ts';
import { trueOrFalse } from '../query.ts';
import { findsNone, listsNone } from './none.ts';

const NAMED = ['guid', 'name'];
const INSTANCE_FIELDS = {
  space: [...NAMED, 'relationships.organization'],
  'space.organization': NAMED,
  service_plan: [...NAMED, 'relationships.service_offering'],
  'service_plan.service_offering': [
    ...NAMED,
    'description',
    'documentation_url',
    'tags',
    'relationships.service_broker',
  ],
  'service_plan.service_offering.service_broker': NAMED,
};
const type = (...values: readonly string[]) => ({
  values,
  sentence: `Type must be one of ${values.map((value) => `'${value}'`).join(', ')}`,
});
const AVAILABLE = { available: trueOrFalse('Available') };

export const serviceOperations = [
  operation(
    'GET /v3/service_instances',
    listsNone({
      filters: ['names', 'space_guids', 'organization_guids', 'service_plan_guids', 'service_plan_names'],
      oneOf: { type: type('managed', 'user-provided') },
      fields: INSTANCE_FIELDS,
    }),
  ),

  operation('GET /v3/service_instances/:guid', findsNone('Service instance')),

  operation(
    'GET /v3/service_credential_bindings',
    listsNone({
      filters: [
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
      oneOf: { type: type('app', 'key') },
      include: ['app', 'service_instance'],
    }),
  ),

  operation('GET /v3/service_credential_bindings/:guid', findsNone('Service credential binding')),

  operation(
    'GET /v3/service_route_bindings',
    listsNone({
      filters: ['service_instance_guids', 'service_instance_names', 'route_guids'],
      include: ['route', 'service_instance'],
    }),
  ),

  operation('GET /v3/service_route_bindings/:guid', findsNone('Service route binding')),

  operation('GET /v3/service_brokers', listsNone({ filters: ['names', 'space_guids'] })),

  operation(
    'GET /v3/service_offerings',
    listsNone({
      filters: [
        'names',
        'broker_catalog_ids',
        'service_broker_guids',
        'service_broker_names',
        'space_guids',
        'organization_guids',
      ],
      oneOf: AVAILABLE,
      fields: { service_broker: NAMED },
    }),
  ),

  operation(
    'GET /v3/service_plans',
    listsNone({
      filters: [
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
      oneOf: AVAILABLE,
      fields: { 'service_offering.service_broker': NAMED },
      include: ['service_offering', 'space.organization'],
    }),
  ),
];
