import type { Readable } from 'node:stream';
import type { Static, TSchema } from 'typebox';
import { Type } from 'typebox';
import {
  type Actor,
  authorize,
  type Caller,
  type Place,
  type Visible,
  visibleOrganizations,
  visibleSpaces,
} from './authorization.ts';
import type { Context } from './context.ts';
import { type CfError, notAuthorized } from './errors.ts';
import { type OperationId, permissionOf, type Role } from './permissions.ts';
import type { Query, QueryRules } from './query.ts';

type PathOf<Id> = Id extends `${string} ${infer Path}` ? Path : never;
type NamesIn<Path> = Path extends `${string}:${infer Name}/${infer Rest}`
  ? Name | NamesIn<`/${Rest}`>
  : Path extends `${string}:${infer Name}`
    ? Name
    : never;
/** The parameters in an operation's path: `{ guid }` of "GET /v3/apps/:guid". */
export type PathParameters<Id extends OperationId> = Readonly<Record<NamesIn<PathOf<Id>>, string>>;

/** What a request body is: JSON by the operation's schema, YAML as text, or multipart as the raw stream. */
export type Accepts = 'json' | 'yaml' | 'multipart';

export interface Answer {
  status: number;
  body?: unknown;
  headers?: Readonly<Record<string, string>>;
}

export const ok = (body: unknown): Answer => ({ status: 200, body });
export const created = (body: unknown): Answer => ({ status: 201, body });
export const noContent = (): Answer => ({ status: 204 });

/** One call of an operation: who, what, and how to ask whether they may. */
export class Call<Id extends OperationId = OperationId, Body = unknown> {
  readonly id: Id;
  readonly context: Context;
  readonly params: PathParameters<Id>;
  readonly body: Body;
  readonly query: Query;
  /** The bytes of a multipart body. */
  readonly stream: Readable | null;
  readonly contentType: string;
  readonly warnings: string[] = [];
  readonly #caller: Caller | null;
  #asked: boolean;

  constructor(parts: {
    id: Id;
    context: Context;
    caller: Caller | null;
    params: PathParameters<Id>;
    body: Body;
    query: Query;
    stream: Readable | null;
    contentType: string;
  }) {
    this.id = parts.id;
    this.context = parts.context;
    this.params = parts.params;
    this.body = parts.body;
    this.query = parts.query;
    this.stream = parts.stream;
    this.contentType = parts.contentType;
    this.#caller = parts.caller;
    const { scope } = permissionOf(parts.id);
    this.#asked = scope === 'public' || scope === 'token' || scope === 'platform';
  }

  /** Throws NotAuthenticated's place-holder only where a public operation asks; every other has one. */
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

  /** Was the permission table asked? An operation that answers without is a mistake and answers 500. */
  get authorized(): boolean {
    return this.#asked;
  }

  /**
   * Lets the caller pass at this place, by the operation's line in the permission table. Throws `invisible` (404, or 422
   * for something a body names) where they may not know of it, NotAuthorized where they may not do it, OrgSuspended.
   */
  async authorize(place: Place, invisible: CfError): Promise<ReadonlySet<Role>> {
    this.#asked = true;
    return authorize(this.context.db, this.caller, this.id, place, invisible);
  }

  /** The resource belongs to everybody who may call this operation (a shared domain): there is no place to ask at. */
  passSharedResource(): void {
    this.#asked = true;
  }

  /** For what the table cannot say in roles: passes only the admin. */
  requireAdmin(): void {
    this.#asked = true;
    if (!this.isAdmin) throw notAuthorized();
  }

  /** Organizations this list may show. */
  visibleOrganizations(): Visible {
    this.#asked = true;
    const permission = permissionOf(this.id);
    return visibleOrganizations(this.caller, permission.scope === 'list' ? permission.see : []);
  }

  /** Spaces this list may show. */
  visibleSpaces(): Visible {
    this.#asked = true;
    const permission = permissionOf(this.id);
    return visibleSpaces(this.caller, permission.scope === 'list' ? permission.seeInSpaces : []);
  }

  /** 202 with the job's absolute URL in Location. */
  accepted(jobGuid: string): Answer {
    this.context.jobs.wake();
    return { status: 202, headers: { Location: this.context.links.url(`/v3/jobs/${jobGuid}`) } };
  }
}

/** An operation as the server registers it. */
export interface Operation {
  id: OperationId;
  body: TSchema;
  query: QueryRules | null;
  accepts: Accepts;
  bodyLimitBytes: number;
  run(call: Call): Promise<Answer>;
}

const MEBIBYTE = 1_048_576;

/** Defines an operation. Its id must stand in the permission table. Without `query` the query string is not looked at. */
export function operation<Id extends OperationId, Body extends TSchema = ReturnType<typeof Type.Unknown>>(definition: {
  id: Id;
  body?: Body;
  query?: QueryRules;
  accepts?: Accepts;
  bodyLimitBytes?: number;
  run(call: Call<Id, Static<Body>>): Promise<Answer>;
}): Operation {
  const { id, body, query, accepts, bodyLimitBytes } = definition;
  return {
    id,
    body: body ?? Type.Unknown(),
    query: query ?? null,
    accepts: accepts ?? 'json',
    bodyLimitBytes: bodyLimitBytes ?? MEBIBYTE,
    run: definition.run as Operation['run'],
  };
}
