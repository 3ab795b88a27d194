import type { TSchema } from 'typebox';
import { bodySchema } from '../../src/cloud-controller/body.ts';
import type { Operation } from '../../src/cloud-controller/operation.ts';
import { permissionOf } from '../../src/cloud-controller/permissions.ts';
import type { QueryRules } from '../../src/cloud-controller/query.ts';
import { operations } from '../../src/cloud-controller/resources.ts';
import { pathOf } from './role-matrix.ts';
import { THINGS, type World } from './role-world.ts';

/** Every operation that answers with several things: lists, and relationships to many. */
export const LISTS: readonly Operation[] = operations.filter(
  ({ id, query, answers }) => id.startsWith('GET ') && (query?.list || holdsMany(answers[200])),
);

function holdsMany(answer: TSchema | null | undefined): boolean {
  const data = answer && bodySchema(answer).properties?.['data'];
  return data?.type === 'array';
}

/** Lists in which no row can be made. */
export const EMPTY_LISTS: Readonly<Record<string, string>> = {
  'GET /v3/service_instances': 'no service broker can be registered',
  'GET /v3/service_credential_bindings': 'no service broker can be registered',
  'GET /v3/service_route_bindings': 'no service broker can be registered',
  'GET /v3/service_brokers': 'no service broker can be registered',
  'GET /v3/service_offerings': 'no service broker can be registered',
  'GET /v3/service_plans': 'no service broker can be registered',
  'GET /v3/routes/:guid/relationships/shared_spaces': 'a route is shared with no other space',
};

/** Whoever has a token sees all rows: the table says so. What they say of others' places is looked at nonetheless. */
export const isForAll = ({ id }: Operation): boolean => permissionOf(id).scope === 'token';

/** Lists what its place holds to whoever passes there; who does, the role matrix says. */
export const isOfPlace = ({ id }: Operation): boolean => ['organization', 'space'].includes(permissionOf(id).scope);

/** What its rows are, as a path calls them. */
export function kindOf({ id }: Operation): string {
  const last = id.split('/').at(-1) ?? '';
  if (last === 'deployed') return 'revisions';
  return /^(.*_)?(organizations|spaces|security_groups)$/.exec(last)?.[2] ?? last;
}

export const LABELS = { place: 'foreign' };
/** All that is foreign, by each operator. */
const SELECTOR = 'place in (foreign,here),place notin (nowhere),!nothing';

type Variant = 'plain' | 'guids' | 'labels' | 'filter' | 'include';
type Asked = readonly [Variant, Readonly<Record<string, string>>];

/** The requests to a list that must show nothing foreign: as it is, and by whatever it takes that could name something foreign. */
export function requestsTo(
  operation: Operation,
  world: World,
  rows: readonly string[],
): { variant: Variant; path: string }[] {
  const path = pathOf({ id: operation.id, at: null }, world);
  const rules: QueryRules = operation.query ?? {};
  const named = [...new Set(THINGS.map((thing) => world[thing]))].join(',');
  const asked: Asked[] = [['plain', {}]];
  if (rules.list) asked.push(['guids', { guids: rows.join(',') }]);
  if (rules.labels) asked.push(['labels', { label_selector: SELECTOR }]);
  for (const name of rules.filters ?? []) if (name.endsWith('guids')) asked.push(['filter', { [name]: named }]);
  for (const name of rules.include ?? []) asked.push(['include', { include: name }]);
  for (const name of rules.embed ?? []) asked.push(['include', { embed: name }]);
  const paging: Record<string, string> = rules.list ? { per_page: '5000' } : {};
  return asked.map(([variant, query]) => ({
    variant,
    path: `${path}?${new URLSearchParams({ ...paging, ...query })}`,
  }));
}
