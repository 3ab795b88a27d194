import type { Readable } from 'node:stream';
import type { Static, TSchema } from 'typebox';
import { Type } from 'typebox';
import type { Entry } from '../kit/body-account.ts';
import type { Actor, Caller } from './authorization.ts';
import type { Context } from './context.ts';
import { notAuthorized } from './errors.ts';
import type { FeatureFlagName } from './feature-flags/flags.ts';
import { type Reader, readerWith } from './fields.ts';
import type { Guid } from './guid.ts';
import type { NewJob } from './jobs/store.ts';
import { type FieldId, type OperationId, permissionOf } from './permissions.ts';
import type { Query, QueryRules } from './query.ts';
import type { Role } from './role-names.ts';
import { type Found, type On, type Permitted, type Source, SUBJECT, sourcesOf } from './subject.ts';

type PathOf<Id> = Id extends `${string} ${infer Path}` ? Path : never;
type NamesIn<Path> = Path extends `${string}:${infer Name}/${infer Rest}`
  ? Name | NamesIn<`/${Rest}`>
  : Path extends `${string}:${infer Name}`
    ? Name
    : never;
/** The parameters in an operation's path: `{ guid }` of "GET /v3/apps/:guid". */
export type PathParameters<Id extends OperationId> = {
  readonly [Name in NamesIn<PathOf<Id>>]: Name extends keyof NamedGuids ? NamedGuids[Name] : string;
};

/** What parameters name beside `:guid`, which the subject of the operation brands. */
interface NamedGuids {
  org_guid: Guid<'organization'>;
  space_guid: Guid<'space'>;
}

/** What a request body is: JSON by the operation's schema, YAML as text, or multipart as the raw stream. */
export type Accepts = 'json' | 'yaml' | 'multipart';

export interface Answer {
  status: number;
  body?: unknown;
  /** In the place of a body: what is no JSON, whose type is among the headers. */
  text?: string;
  headers?: Readonly<Record<string, string>>;
}

export const ok = <Body>(body: Body) => ({ status: 200, body }) as const;
export const created = <Body>(body: Body) => ({ status: 201, body }) as const;
/** What was asked for goes on, and its own state tells how far it is: no job does it. */
export const begun = <Body>(body: Body) => ({ status: 202, body }) as const;
export const noContent = () => ({ status: 204 }) as const;

/** What an operation answers, by status: a body of this schema, or none. */
export type Answers = Readonly<Record<number, TSchema | null>>;

/** What may be answered where this is declared. */
type AnswerOf<A extends Answers> = {
  [Status in keyof A & number]: Omit<Answer, 'status' | 'body'> & {
    status: Status;
  } & (A[Status] extends TSchema ? { body: Static<A[Status]> } : { body?: undefined });
}[keyof A & number];

/** One call of an operation that its caller may do: who, what, and on what. */
export class Call<Id extends OperationId = OperationId, Body = unknown, Subjects = unknown> {
  readonly id: Id;
  readonly context: Context;
  readonly params: PathParameters<Id>;
  readonly body: Body;
  readonly query: Query;
  /** The bytes of a multipart body. */
  readonly stream: Readable | null;
  readonly contentType: string;
  /** Of the body, in bytes; null where the client does not say. */
  readonly contentLength: number | null;
  /** Where the texts of a multipart body are entered. */
  readonly texts: Entry | null;
  /** What the operation is called on: the row that `:guid` names, or rows by the names they have in the operation. */
  readonly subject: Subjects;
  readonly warnings: string[] = [];
  readonly #caller: Caller | null;
  readonly #held: readonly ReadonlySet<Role>[];

  constructor(parts: {
    id: Id;
    context: Context;
    caller: Caller | null;
    params: PathParameters<Id>;
    body: Body;
    query: Query;
    stream: Readable | null;
    contentType: string;
    contentLength: number | null;
    texts: Entry | null;
    permitted: Permitted;
  }) {
    this.id = parts.id;
    this.context = parts.context;
    this.params = parts.params;
    this.body = parts.body;
    this.query = parts.query;
    this.stream = parts.stream;
    this.contentType = parts.contentType;
    this.contentLength = parts.contentLength;
    this.texts = parts.texts;
    this.#caller = parts.caller;
    const { found, held } = parts.permitted;
    // Where nothing lies anywhere, only the platform's roles count.
    this.#held = parts.caller && held.length === 0 ? [parts.caller.globalRoles] : held;
    // The names stand in the operation's own declaration, which gives the type.
    this.subject = (found.has(SUBJECT) ? found.get(SUBJECT) : Object.fromEntries(found)) as Subjects;
  }

  /** Every operation but a public one has one; a public one that asks gets NotAuthorized. */
  get caller(): Caller {
    if (!this.#caller) throw notAuthorized();
    return this.#caller;
  }

  get actor(): Actor {
    return this.caller.actor;
  }

  get isAdmin(): boolean {
    return this.caller.globalRoles.has('admin');
  }

  /** What the caller sees of the fields of what was authorized; of several places, what they see at each. */
  get reader(): Reader {
    return readerWith(...this.#held);
  }

  /** Passes who may set this field of what was authorized; the others get NotAuthorized. */
  requireField(field: FieldId): void {
    if (!this.reader.sees(field)) throw notAuthorized();
  }

  /** The request's own, with the guids in it. */
  get path(): string {
    const [, path = ''] = this.id.split(' ');
    const params: Readonly<Record<string, string>> = this.params;
    return path.replace(/:(\w+)/g, (_, name: string) => params[name] ?? '');
  }

  /** Leaves work to a job, and answers where it can be followed. */
  async enqueue(operation: string, resource?: NewJob['resource'], input?: NewJob['input']) {
    const job = { operation, actor: this.actor, ...(resource ? { resource } : {}), ...(input ? { input } : {}) };
    return this.accepted(await this.context.jobs.enqueue(job));
  }

  /** 202 with the job's absolute URL in Location. */
  accepted(jobGuid: string) {
    this.context.jobs.wake();
    return { status: 202, headers: { Location: this.context.links.url(`/v3/jobs/${jobGuid}`) } } as const;
  }
}

/** Whether requests of this operation carry a body. */
export function carriesBody(id: OperationId): boolean {
  return /^(POST|PUT|PATCH) /.test(id);
}

/** An operation as the server registers it. */
export interface Operation {
  id: OperationId;
  body: TSchema;
  query: QueryRules | null;
  accepts: Accepts;
  bodyLimitBytes: number;
  /** Takes long transactions: all of these together have half of the database's connections. */
  long: boolean;
  /** Changes nothing: what it reads is refused where it is too much, and ends when its client is gone. */
  readsOnly: boolean;
  /** What it is called on. */
  sources: ReadonlyMap<string, Source>;
  answers: Answers;
  sets(call: Call): readonly FieldId[];
  needs(call: Call): readonly FeatureFlagName[];
  run(call: Call): Promise<Answer>;
}

const MEBIBYTE = 1_048_576;

/** What an operation says of itself; its line in the permission table says the rest. */
export interface Definition<Id extends OperationId, O extends On, Body extends TSchema, A extends Answers> {
  /** What it is called on: found, and permitted by the table, before it runs. */
  on?: O;
  /**
   * All that it names in an organization or space may be left out of its body; then nobody is asked at a place, and `run` has to do
   * with the platform's roles alone.
   */
  mayNameNothing?: true;
  body?: Body;
  /** Without it the query string is not looked at. */
  query?: QueryRules;
  answers: A;
  accepts?: Accepts;
  bodyLimitBytes?: number;
  long?: boolean;
  /** By default what is asked for with GET. */
  readsOnly?: boolean;
  /** Fields of the permission table that this request sets: refused where the caller may not set them. */
  sets?(call: Call<Id, Static<Body>, Found<O>>): readonly FieldId[];
  /**
   * Feature flags that not every request of this operation needs, beside those of the permission table: FeatureDisabled for everybody,
   * the admin too, where one is off.
   */
  needs?(call: Call<Id, Static<Body>, Found<O>>): readonly FeatureFlagName[];
  run(call: Call<Id, Static<Body>, Found<O>>): Promise<AnswerOf<A>>;
}

export type Unread = ReturnType<typeof Type.Unknown>;

/** Defines an operation. Its id must stand in the permission table. */
export function operation<
  Id extends OperationId,
  O extends On = Record<never, never>,
  Body extends TSchema = Unread,
  A extends Answers = Answers,
>(id: Id, definition: Definition<Id, O, Body, A>): Operation {
  const sources = sourcesOf(definition.on ?? {});
  checkDeclared(id, sources, definition.mayNameNothing ?? false);
  return {
    id,
    body: definition.body ?? Type.Unknown(),
    query: definition.query ?? null,
    accepts: definition.accepts ?? 'json',
    bodyLimitBytes: definition.bodyLimitBytes ?? MEBIBYTE,
    long: definition.long ?? false,
    readsOnly: definition.readsOnly ?? id.startsWith('GET '),
    sources,
    answers: definition.answers,
    sets: (definition.sets as Operation['sets'] | undefined) ?? (() => []),
    needs: (definition.needs as Operation['needs'] | undefined) ?? (() => []),
    run: definition.run as Operation['run'],
  };
}

/** Throws where the table wants to be asked at a place and nothing that the operation names, or always names, has one. */
function checkDeclared(id: OperationId, sources: ReadonlyMap<string, Source>, mayNameNothing: boolean): void {
  const { scope } = permissionOf(id);
  if (scope !== 'organization' && scope !== 'space' && scope !== 'either') return;
  const placed = [...sources.values()].filter(({ subject }) => subject.placed);
  if (placed.length === 0) throw new Error(`${id} names nothing that lies in an organization or space`);
  if (!mayNameNothing && !placed.some(({ presence }) => presence === 'one'))
    throw new Error(`${id} may be asked for without anything that lies in an organization or space`);
}
