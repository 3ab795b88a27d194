import type { RawBuilder } from 'kysely';
import { type Static, type TSchema, Type } from 'typebox';
import { seesBy } from './authorization.ts';
import { notFound } from './errors.ts';
import { LIST_READER, type Reader } from './fields.ts';
import { listView } from './list.ts';
import { included, type Listing, type Showing } from './listing.ts';
import { changeMetadata, MetadataInput, type TablesWithMetadata } from './metadata.ts';
import type { Call, Definition, Unread } from './operation.ts';
import { type OperationId, permissionOf } from './permissions.ts';
import type { Found, On, Subject } from './subject.ts';
import { Link } from './view.ts';

/** What many operations are: declared by what differs. */

type Standard<O extends On, Body extends TSchema, View extends TSchema | null, Status extends number> = Definition<
  OperationId,
  O,
  Body,
  Readonly<Record<Status, View>>
>;

const Pagination = Type.Object({
  total_results: Type.Integer(),
  total_pages: Type.Integer(),
  first: Link,
  last: Link,
  next: Type.Union([Link, Type.Null()]),
  previous: Type.Union([Link, Type.Null()]),
});
const Included = Type.Optional(Type.Record(Type.String(), Type.Array(Type.Object({}))));

/** What a list answers. */
export function PageOf<View extends TSchema>(view: View) {
  return Type.Object({ pagination: Pagination, resources: Type.Array(view), included: Included });
}

/** A list of what lies inside the subject of an operation. */
interface Nested<O extends On, Row, View extends TSchema> {
  on: O;
  inside(subject: Found<O>, reader: Reader): RawBuilder<boolean>;
  /** Who it is shown to: the caller with their roles there, unless it hides fields from everybody as other lists do. */
  reader?: Reader;
  /** Where it is shown otherwise than in the list of all. */
  views?(subject: Found<O>, showing: Showing, rows: readonly Row[]): Static<View>[];
}

/** A page of a list: of all that is seen, or of what lies inside the operation's subject. */
export function lists<O extends On, Row, View extends TSchema>(
  listing: Listing<Row, View>,
  nested?: Nested<O, Row, View>,
): Standard<O, Unread, TSchema, 200> {
  return {
    ...(nested ? { on: nested.on } : {}),
    query: listing.rules,
    answers: { 200: PageOf(listing.view) },
    async run(call) {
      const { context, caller, query } = call;
      // Whoever passed at one place sees all that lies there; a list over several has no place where fields are seen.
      const sees = permissionOf(call.id).scope === 'list' ? seesBy(caller, call.id) : null;
      const found = await listing.read(call, sees, nested ? nested.inside(call.subject, call.reader) : null);
      const reader = nested ? (nested.reader ?? call.reader) : LIST_READER;
      const showing = { context, caller, reader, embed: query.embed };
      const views = nested?.views?.(call.subject, showing, found.rows) ?? (await listing.views(showing, found.rows));
      const more = await included(call, found.rows, listing.includes);
      const page = { rows: views, total: found.total };
      return { status: 200, body: listView(context.links, call.path, query, page, (view) => view, more) };
    },
  };
}

/** One of a list, as the list shows it. */
export function shows<Row>(subject: Subject<Row>, listing: Listing<Row>): Standard<Subject<Row>, Unread, TSchema, 200> {
  return {
    on: subject,
    ...(listing.rules.include ? { query: { include: listing.rules.include } } : {}),
    answers: { 200: listing.rules.include ? withIncluded(listing.view) : listing.view },
    async run(call) {
      const more = await included(call, [call.subject], listing.includes);
      return {
        status: 200,
        body: { ...(await shown(call, listing, call.subject)), ...(more ? { included: more } : {}) },
      };
    },
  };
}

/** A view with what its query may include beside it. */
function withIncluded(view: TSchema): TSchema {
  return Type.Evaluate(Type.Intersect([view, Type.Object({ included: Included })]));
}

/** How a list shows this one to the caller. */
export async function shown<Row, View extends TSchema>(
  call: Pick<Call, 'context' | 'caller' | 'reader' | 'query'>,
  listing: Listing<Row, View>,
  row: Row,
) {
  const { context, caller, reader, query } = call;
  const [view] = await listing.views({ context, caller, reader, embed: query.embed }, [row]);
  if (view === undefined) throw new Error(`${listing.name} shows nothing of a row`);
  return view;
}

export const UpdateMetadata = Type.Object({ metadata: Type.Optional(MetadataInput) }, { additionalProperties: false });

/** Changes nothing but metadata. */
export function updatesMetadata<Row extends { guid: string }>(
  subject: Subject<Row>,
  table: TablesWithMetadata,
  listing: Listing<Row>,
): Standard<Subject<Row>, typeof UpdateMetadata, TSchema, 200> {
  return {
    on: subject,
    body: UpdateMetadata,
    answers: { 200: listing.view },
    async run(call) {
      const { guid } = call.subject;
      const changed = await call.context.db
        .transaction()
        .execute((trx) => changeMetadata(trx, table, guid, call.body.metadata, notFound(subject.name)));
      return { status: 200, body: await shown(call, listing, { ...call.subject, ...changed }) };
    },
  };
}

/** Leaves the deletion to a job, once nothing that can be known now speaks against it. */
export function deletes<Row extends { guid: string }>(
  subject: Subject<Row>,
  type: string,
  check: (call: Call<OperationId, unknown, Row>) => Promise<void> | void = () => {},
): Standard<Subject<Row>, Unread, null, 202> {
  return {
    on: subject,
    answers: { 202: null },
    async run(call) {
      await check(call);
      return call.enqueue(`${type}.delete`, { type, guid: call.subject.guid });
    },
  };
}
