import type { IncomingMessage } from 'node:http';
import { Agent, request } from 'node:https';
import type { LookupFunction } from 'node:net';
import type { Readable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import { CupolaError } from '../../kit/errors.ts';
import type { Credentials } from '../../platform/secrets.ts';
import { type PlatformSettings, publicUrl } from '../../platform/settings.ts';

const JOB_LIMIT_MS = 120_000;
const QUIET_LIMIT_MS = 300_000;

export interface Resource {
  guid: string;
  [name: string]: unknown;
}

interface Body {
  type: string;
  data: string | Readable;
  length?: number;
}

interface Answer {
  status: number;
  location: string | undefined;
  text: string;
}

/** The public API as any client sees it: TLS checked against the platform's CA, a token by password, the v3 operations. */
export class Api {
  readonly #url: string;
  readonly #agent: Agent;
  readonly #token: string;

  private constructor(url: string, agent: Agent, token: string) {
    this.#url = url;
    this.#agent = agent;
    this.#token = token;
  }

  /** Logs in. Throws `api_refused`. */
  static async login(settings: PlatformSettings, credentials: Credentials): Promise<Api> {
    const agent = new Agent({ ca: credentials.ca_cert, keepAlive: true, lookup: routerLookup(settings) });
    const form = new URLSearchParams({
      grant_type: 'password',
      username: credentials.username,
      password: credentials.password,
    });
    const answer = await send(agent, 'POST', `${publicUrl(settings, 'uaa')}/oauth/token`, {
      authorization: `Basic ${Buffer.from('cf:').toString('base64')}`,
      body: { type: 'application/x-www-form-urlencoded', data: form.toString() },
    });
    const { access_token: token } = JSON.parse(answer.text) as { access_token: string };
    return new Api(credentials.api, agent, token);
  }

  async get<Result>(path: string): Promise<Result> {
    return JSON.parse((await this.#send('GET', path)).text) as Result;
  }

  /** The first resource of a list, null where it is empty. */
  async first(path: string): Promise<Resource | null> {
    return (await this.get<{ resources: Resource[] }>(path)).resources[0] ?? null;
  }

  async post<Result = Resource>(path: string, value: unknown = {}): Promise<Result> {
    return this.#json<Result>('POST', path, value);
  }

  async patch<Result = Resource>(path: string, value: unknown): Promise<Result> {
    return this.#json<Result>('PATCH', path, value);
  }

  /** Posts YAML and waits for the job it starts. */
  async postManifest(path: string, yaml: string): Promise<void> {
    const { location } = await this.#send('POST', path, { type: 'application/x-yaml', data: yaml });
    if (location) await this.#job(new URL(location).pathname);
  }

  async upload(path: string, body: Body): Promise<void> {
    await this.#send('POST', path, body);
  }

  close(): void {
    this.#agent.destroy();
  }

  async #json<Result>(method: string, path: string, value: unknown): Promise<Result> {
    const answer = await this.#send(method, path, { type: 'application/json', data: JSON.stringify(value) });
    return JSON.parse(answer.text) as Result;
  }

  #send(method: string, path: string, body?: Body): Promise<Answer> {
    return send(this.#agent, method, `${this.#url}${path}`, { authorization: `bearer ${this.#token}`, body });
  }

  async #job(path: string): Promise<void> {
    const deadline = Date.now() + JOB_LIMIT_MS;
    for (;;) {
      const job = await this.get<{ state: string; errors?: { detail: string }[] }>(path);
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
  agent: Agent,
  method: string,
  url: string,
  { authorization, body }: { authorization: string; body?: Body | undefined },
): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const call = request(url, {
    agent,
    method,
    timeout: QUIET_LIMIT_MS,
    headers: {
      authorization,
      accept: 'application/json',
      ...(body ? { 'content-type': body.type } : {}),
      ...(body?.length === undefined ? {} : { 'content-length': body.length }),
    },
  });
  call.on('response', resolve);
  call.on('error', reject);
  call.on('timeout', () => call.destroy(new CupolaError('api_timeout', `${method} ${url} took too long`)));
  if (typeof body?.data === 'object') {
    body.data.on('error', (cause) => call.destroy(cause));
    body.data.pipe(call);
  } else call.end(body?.data);
  const response = await promise;
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString();
  const status = response.statusCode ?? 0;
  if (status < 200 || status > 299) {
    throw new CupolaError('api_refused', `${method} ${new URL(url).pathname}: ${status} ${reason(text)}`);
  }
  return { status, location: response.headers.location, text };
}

/** What the v3 API or UAA says of a failure. */
function reason(text: string): string {
  try {
    const body = JSON.parse(text) as { errors?: { detail: string }[]; error_description?: string };
    return body.errors?.map(({ detail }) => detail).join('; ') ?? body.error_description ?? '';
  } catch {
    return text.slice(0, 200);
  }
}
