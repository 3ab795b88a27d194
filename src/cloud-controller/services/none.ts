import { type TSchema, Type } from 'typebox';
import { listView, type Page } from '../list.ts';
import type { Definition, Unread } from '../operation.ts';
import type { OperationId } from '../permissions.ts';
import type { Query, QueryRules } from '../query.ts';
import { PageOf } from '../standard.ts';
import { placeless, type Subject } from '../subject.ts';

/**
 * The marketplace is empty: no broker can be registered yet, so there are no offerings, plans, instances or bindings.
 * Clients ask for these lists in the middle of push, app and delete.
 */
const NONE: Page<never> = { rows: [], total: 0 };

type Answers = { readonly 200: TSchema };

/** A list that takes what such a list takes, and shows nothing. */
export function listsNone(rules: QueryRules): Definition<OperationId, Record<never, never>, Unread, Answers> {
  return {
    query: { list: true, labels: true, orderBy: ['name'], ...rules },
    answers: { 200: PageOf(Type.Never()) },
    async run({ context, path, query }) {
      return { status: 200, body: listView(context.links, path, query, NONE, (row) => row, included(query)) };
    },
  };
}

/** There is none of these. */
export function findsNone(name: string): Definition<OperationId, Subject<never>, Unread, Answers> {
  return {
    on: placeless<never>(name, async () => null),
    answers: { 200: Type.Never() },
    run: async ({ subject }) => subject,
  };
}

/** Kinds of what an `include` or a `fields[…]` asks for: they stand there also where nothing is listed. */
const INCLUDED: Readonly<Record<string, readonly string[]>> = {
  app: ['apps'],
  route: ['routes'],
  service_instance: ['service_instances'],
  service_offering: ['service_offerings'],
  service_plan: ['service_plans'],
  service_broker: ['service_brokers'],
  space: ['spaces'],
  organization: ['organizations'],
  'space.organization': ['spaces', 'organizations'],
  'service_plan.service_offering': ['service_offerings'],
  'service_plan.service_offering.service_broker': ['service_brokers'],
  'service_offering.service_broker': ['service_brokers'],
};

function included({ include, fields }: Pick<Query, 'include' | 'fields'>): Record<string, []> | undefined {
  const asked = [
    ...include,
    ...[...fields.keys()].map((name) => (name === 'space.organization' ? 'organization' : name)),
  ];
  if (asked.length === 0) return undefined;
  return Object.fromEntries(asked.flatMap((name) => (INCLUDED[name] ?? []).map((kind) => [kind, []])));
}
