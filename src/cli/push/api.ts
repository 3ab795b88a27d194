import { openAsBlob } from 'node:fs';
import type { LookupFunction } from 'node:net';
import { basename } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import Type, { type Static, type TSchema } from 'typebox';
import { Agent, errors, FormData, request } from 'undici';
import { checkedJson } from '../../kit/checked.ts';
import { CupolaError, codeOf } from '../../kit/errors.ts';
import { publicUrl } from '../../platform/public-names.ts';
import type { Credentials } from '../../platform/secrets.ts';
import { commandFor } from '../../platform/settings/data-option.ts';
import type { PlatformSettings } from '../../platform/settings/schema.ts';
import { Resource } from './resource.ts';

const JOB_LIMIT_MS = 120_000;
const QUIET_LIMIT_MS = 300_000;

const Token = Type.Object({ access_token: Type.String() });
const Details = Type.Array(Type.Object({ detail: Type.String() }));
const Job = Type.Object({ state: Type.String(), errors: Type.Optional(Details) });
const Problem = Type.Object({ errors: Type.Optional(Details), error_description: Type.Optional(Type.String()) });
/** What an answer is checked against is what is read of it: an API of another version may say more. */
const told = (what: string) => ({ code: 'api_answer', what });

interface Body {
  /** Null where the data says it itself. */
  type: string | null;
  data: string | FormData;
}

/** How an installation is reached. */
interface Door {
  agent: Agent;
  settings: PlatformSettings;
}

interface Answer {
  status: number;
  location: string | undefined;
  text: string;
}

/**
 * The public API as any client sees it: TLS checked against the platform's CA, a token by password, the v3 operations. What asks
 * throws `api_refused`, `api_timeout`, `not_running` where nobody listens and `api_unreachable` where the connection fails otherwise, and
 * `api_answer` where an answer is not of the shape that is given.
 */
export class Api {
  readonly #url: string;
  readonly #door: Door;
  readonly #token: string;

  private constructor(url: string, door: Door, token: string) {
    this.#url = url;
    this.#door = door;
    this.#token = token;
  }

  /** Logs in. */
  static async login(settings: PlatformSettings, credentials: Credentials): Promise<Api> {
    const agent = new Agent({
      connect: { ca: credentials.ca_cert, lookup: routerLookup(settings) },
      headersTimeout: QUIET_LIMIT_MS,
      bodyTimeout: QUIET_LIMIT_MS,
    });
    const form = new URLSearchParams({
      grant_type: 'password',
      username: credentials.username,
      password: credentials.password,
    });
    const door = { agent, settings };
    const answer = await send(door, 'POST', `${publicUrl(settings, 'uaa')}/oauth/token`, {
      authorization: `Basic ${Buffer.from('cf:').toString('base64')}`,
      body: { type: 'application/x-www-form-urlencoded', data: form.toString() },
    });
    const { access_token: token } = checkedJson(Token, answer.text, told('the answer of UAA'));
    return new Api(credentials.api, door, token);
  }

  async get<Shape extends TSchema>(path: string, shape: Shape): Promise<Static<Shape>> {
    const { text } = await this.#send('GET', path);
    return checkedJson(shape, text, told(`the answer to GET ${path}`));
  }

  /** The resources of a list's first page. */
  async all<Shape extends TSchema>(path: string, shape: Shape): Promise<Static<Shape>[]> {
    const { resources } = await this.get(path, Type.Object({ resources: Type.Array(shape) }));
    return resources;
  }

  /** The first resource of a list, null where it is empty. */
  async first<Shape extends TSchema>(path: string, shape: Shape): Promise<Static<Shape> | null> {
    return (await this.all(path, shape))[0] ?? null;
  }

  /** Reads of a source in the log cache. */
  async readLog<Shape extends TSchema>(source: string, query: string, shape: Shape): Promise<Static<Shape>> {
    const url = `${publicUrl(this.#door.settings, 'log-cache')}/api/v1/read/${source}?${query}`;
    const { text } = await send(this.#door, 'GET', url, { authorization: `bearer ${this.#token}` });
    return checkedJson(shape, text, told(`the log of ${source}`));
  }

  async post(path: string, value: unknown = {}): Promise<Static<typeof Resource>> {
    const { text } = await this.#send('POST', path, jsonOf(value));
    return checkedJson(Resource, text, told(`the answer to POST ${path}`));
  }

  async patch(path: string, value: unknown): Promise<void> {
    await this.#send('PATCH', path, jsonOf(value));
  }

  /** Posts YAML and waits for the job it starts. */
  async postManifest(path: string, yaml: string): Promise<void> {
    const { location } = await this.#send('POST', path, { type: 'application/x-yaml', data: yaml });
    if (location) await this.#job(new URL(location).pathname);
  }

  /** Sends a zip as a field of a form. */
  async upload(path: string, field: string, file: string): Promise<void> {
    const form = new FormData();
    form.append(field, await openAsBlob(file, { type: 'application/zip' }), basename(file));
    await this.#send('POST', path, { type: null, data: form });
  }

  close(): void {
    void this.#door.agent.destroy();
  }

  #send(method: string, path: string, body?: Body): Promise<Answer> {
    return send(this.#door, method, `${this.#url}${path}`, { authorization: `bearer ${this.#token}`, body });
  }

  async #job(path: string): Promise<void> {
    const deadline = Date.now() + JOB_LIMIT_MS;
    for (;;) {
      const job = await this.get(path, Job);
      if (job.state === 'COMPLETE') return;
      if (job.state === 'FAILED') {
        throw new CupolaError('job_failed', job.errors?.map(({ detail }) => detail).join('; ') ?? 'the job failed');
      }
      if (Date.now() > deadline) throw new CupolaError('job_timeout', `the job ${path} did not end in two minutes`);
      await pause(200);
    }
  }
}

/** Every name of the platform is at its router, whatever this machine's name servers say. */
function routerLookup(settings: PlatformSettings): LookupFunction {
  const address = settings.bindAddress === '0.0.0.0' ? '127.0.0.1' : settings.bindAddress;
  const family = address.includes(':') ? 6 : 4;
  return (_hostname, options, callback) => {
    if (options.all) callback(null, [{ address, family }]);
    else callback(null, address, family);
  };
}

async function send(
  { agent, settings }: Door,
  method: string,
  url: string,
  { authorization, body }: { authorization: string; body?: Body | undefined },
): Promise<Answer> {
  const call = {
    dispatcher: agent,
    method,
    headers: { authorization, accept: 'application/json', ...(body?.type ? { 'content-type': body.type } : {}) },
    body: body?.data ?? null,
  };
  const {
    statusCode: status,
    headers,
    text,
  } = await whole(url, call).catch((cause) => {
    throw unanswered(`${method} ${url}`, settings, cause);
  });
  if (status < 200 || status > 299) {
    const what = `${status} to ${method} ${new URL(url).pathname}`;
    const why = reason(text);
    throw new CupolaError('api_refused', why === '' ? `the API answers ${what}` : `${why} (${what})`);
  }
  return { status, location: [headers.location].flat()[0], text };
}

function unanswered(what: string, settings: PlatformSettings, cause: unknown): CupolaError {
  if (cause instanceof errors.HeadersTimeoutError || cause instanceof errors.BodyTimeoutError)
    return new CupolaError('api_timeout', `${what} took too long`, { cause });
  if (codeOf(cause) !== 'ECONNREFUSED') return new CupolaError('api_unreachable', `${what} failed`, { cause });
  const start = commandFor('up', settings);
  return new CupolaError(
    'not_running',
    `nothing listens on port ${settings.httpsPort}: the platform does not run; ${start} starts it`,
  );
}

async function whole(url: string, call: Parameters<typeof request>[1]) {
  const { statusCode, headers, body } = await request(url, call);
  return { statusCode, headers, text: await body.text() };
}

/** What the v3 API or UAA says of a failure. */
function reason(text: string): string {
  try {
    const body = checkedJson(Problem, text, told('a refusal'));
    return body.errors?.map(({ detail }) => detail).join('; ') ?? body.error_description ?? '';
  } catch {
    return text.slice(0, 200);
  }
}

function jsonOf(value: unknown): Body {
  return { type: 'application/json', data: JSON.stringify(value) };
}
