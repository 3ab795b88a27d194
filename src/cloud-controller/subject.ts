import type { Place, Sees } from './authorization.ts';
import type { Db } from './database.ts';
import { type CfError, notFound } from './errors.ts';
import { type Guid, guid } from './guid.ts';
import type { Role } from './role-names.ts';

/** Who asks for something by its guid, and where the operation's line in the permission table lets them see. */
export interface Asking extends Sees {
  readonly db: Db;
  readonly params: Readonly<Record<string, string>>;
}

/**
 * What operations are called on. It is found and the permission table is asked before an operation runs, and where a path names it
 * before the body is read.
 */
export interface Subject<Row = unknown> {
  /** As errors call it: "Route" is "Route not found". */
  readonly name: string;
  /** Null where there is none, or where it has no place and `asking` does not show it. */
  find(asking: Asking, guid: string): Promise<Row | null>;
  /** Whether each lies somewhere. Of what does not, `find` says who sees it, and the table which of the platform's roles may do it. */
  readonly placed: boolean;
  /** Where it lies: there the table is asked. "foundation" belongs to nobody: everybody sees it and the admin changes it. */
  place(row: Row): Place | 'foundation' | null;
}

/** One that a body may name thousands of. */
export interface Gathered<Row = unknown> extends Subject<Row> {
  /** Those that are there, by guid, found together. */
  findAll(asking: Asking, guids: readonly string[]): Promise<ReadonlyMap<string, Row>>;
}

/** Of what a subject gives. */
export type RowOf<S> = S extends Subject<infer Row> ? Row : never;

/** Declares a kind of thing that lies in an organization or in a space. */
export function subject<Row, Of extends string = string>(
  name: string,
  {
    find,
    place,
  }: {
    find(db: Db, guid: Guid<Of>, asking: Asking): Promise<Row | null>;
    place: (row: Row) => Place | 'foundation';
  },
): Subject<Row> {
  return { name, find: (asking, text) => find(asking.db, guid<Of>(text), asking), placed: true, place };
}

/** Declares a kind of thing that lies in an organization or in a space, and of which several are asked for at once. */
export function gathered<Row, Of extends string = string>(
  name: string,
  {
    findAll,
    place,
  }: {
    findAll(db: Db, guids: readonly Guid<Of>[]): Promise<ReadonlyMap<string, Row>>;
    place: (row: Row) => Place;
  },
): Gathered<Row> {
  return {
    ...subject(name, { find: async (db, own: Guid<Of>) => (await findAll(db, [own])).get(own) ?? null, place }),
    findAll: ({ db }, texts) =>
      findAll(
        db,
        texts.map((text) => guid<Of>(text)),
      ),
  };
}

/** Declares a kind of thing that lies in no one place: `find` gives it to whoever sees it. */
export function placeless<Row, Of extends string = string>(
  name: string,
  find: (db: Db, guid: Guid<Of>, asking: Asking) => Promise<Row | null>,
): Subject<Row> {
  return { name, find: (asking, text) => find(asking.db, guid<Of>(text), asking), placed: false, place: () => null };
}

/** What a request names, found and permitted, by the names it has in the operation; and the roles the caller holds there. */
export interface Permitted {
  readonly found: ReadonlyMap<string, unknown>;
  readonly held: readonly ReadonlySet<Role>[];
}

export const NOTHING_NAMED: Permitted = { found: new Map(), held: [] };

/** By what a request names a subject, and what it is told where there is none that the caller may know of. */
export interface Source<Row = unknown, Presence extends 'one' | 'perhaps' | 'many' = 'one' | 'perhaps' | 'many'> {
  readonly subject: Subject<Row>;
  /** Where a source may name several. */
  readonly findAll?: Gathered<Row>['findAll'];
  readonly from: 'path' | 'query' | 'body';
  /** A parameter's name, or the way through the body: "relationships.space". */
  readonly at: string;
  readonly presence: Presence;
  /** Of each that is named where a source may name several, else of the one. */
  readonly missing: (...guids: string[]) => CfError;
}

/** Of another parameter of the path than `:guid`. */
export function inPath<Row>(
  subject: Subject<Row>,
  at: string,
  missing: (guid: string) => CfError = () => notFound(subject.name),
): Source<Row, 'one'> {
  return { subject, from: 'path', at, presence: 'one', missing };
}

/** Of a parameter of the query string, where it is given. */
export function inQuery<Row>(
  subject: Subject<Row>,
  at: string,
  missing: (guid: string) => CfError = () => notFound(subject.name),
): Source<Row, 'perhaps'> {
  return { subject, from: 'query', at, presence: 'perhaps', missing };
}

/** Of a relationship or a reference that every body has. */
export function inBody<Row>(at: string, subject: Subject<Row>, missing: (guid: string) => CfError): Source<Row, 'one'> {
  return { subject, from: 'body', at, presence: 'one', missing };
}

/** The same where a body may leave it out. */
export function perhapsInBody<Row>(
  at: string,
  subject: Subject<Row>,
  missing: (guid: string) => CfError,
): Source<Row, 'perhaps'> {
  return { subject, from: 'body', at, presence: 'perhaps', missing };
}

/** Of a relationship to many: the table is asked for each, in as many queries as for one. */
export function eachInBody<Row>(
  at: string,
  subject: Gathered<Row>,
  missing: (...guids: string[]) => CfError,
): Source<Row, 'many'> {
  return { subject, findAll: subject.findAll, from: 'body', at, presence: 'many', missing };
}

/** What an operation is called on: what `:guid` of its path names, or several things by name. */
export type On = Subject | Readonly<Record<string, Subject | Source>>;

type Given<S> =
  S extends Source<infer Row, infer Presence>
    ? Presence extends 'many'
      ? readonly Row[]
      : Presence extends 'perhaps'
        ? Row | null
        : Row
    : RowOf<S>;

/** What an operation finds of it: a row, or rows by their names. */
export type Found<O> = O extends Subject<infer Row> ? Row : { readonly [Name in keyof O]: Given<O[Name]> };

function isSubject(on: On): on is Subject {
  return typeof on['find'] === 'function';
}

/** The name of the one that `:guid` names. */
export const SUBJECT = 'subject';

/** Everything that an operation names, by the name it has there. */
export function sourcesOf(on: On): ReadonlyMap<string, Source> {
  const named = isSubject(on) ? { [SUBJECT]: on } : on;
  return new Map(
    Object.entries(named).map(([name, one]): [string, Source] => [name, 'find' in one ? inPath(one, 'guid') : one]),
  );
}

/** The guids that a request names by this source. */
export function guidsAt({ from, at }: Source, { params, query, body }: Naming): string[] {
  if (from === 'path') return present(params[at]);
  if (from === 'query') return present(query.values.get(at));
  let value = body;
  for (const step of at === '' ? [] : at.split('.')) value = field(value, step);
  const data = field(value, 'data') ?? value;
  return (Array.isArray(data) ? data : [data]).flatMap((one) => present(field(one, 'guid')));
}

export interface Naming {
  readonly params: Readonly<Record<string, string>>;
  readonly query: { readonly values: ReadonlyMap<string, string> };
  readonly body: unknown;
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}

function present(value: unknown): string[] {
  return typeof value === 'string' ? [value] : [];
}
