import { randomBytes } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Kysely } from 'kysely';
import { Sealer } from '../../../src/kit/crypto.ts';
import { Logger } from '../../../src/kit/log.ts';
import type { UaaSchema } from '../../../src/uaa/schema.ts';
import {
  adminClient,
  cloudControllerClient,
  createUaa,
  sshProxyClient,
  type Uaa,
  type UaaOptions,
} from '../../../src/uaa/uaa.ts';
import { startTestPostgresql, type TestPostgresql } from '../../support/postgresql.ts';

export const ADMIN_PASSWORD = 'correct horse battery';
export const ADMIN_SECRET = 'the-admin-secret';
export const CC_SECRET = 'the-cc-secret';
export const SSH_SECRET = 'the-ssh-secret';
export const URLS = { uaa: 'https://uaa.example.test', login: 'https://login.example.test' };
export const ISSUER = `${URLS.uaa}/oauth/token`;

export interface Answer {
  status: number;
  headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: a test reads whatever the server answers
  body: any;
}

export interface TestUaa {
  uaa: Uaa;
  /** Of the listener, without TLS and router. */
  url: string;
  /** What `createServices` makes other parts of on the same database. */
  options: UaaOptions;
  db: Kysely<UaaSchema>;
  /** Ends PostgreSQL under a UAA that runs on. */
  haltDatabase(): Promise<void>;
  logLines: string[];
  /** Seconds the clock runs ahead. */
  ahead(seconds: number): void;
  /** Another process on the same database. */
  restart(): Promise<void>;
  call(method: string, path: string, options?: CallOptions): Promise<Answer>;
  grant(values: Record<string, string>, basic?: string | null, query?: string): Promise<Answer>;
  /** The access token of a password login through cf. */
  login(userName: string, password: string): Promise<string>;
  adminToken(): Promise<string>;
  /** What the filter of a SCIM list finds. */
  filtered(path: string, filter: string, token: string): Promise<Answer>;
  clientToken(id: string, secret: string): Promise<string>;
  createUser(userName: string, password?: string): Promise<string>;
  stop(): Promise<void>;
}

export interface CallOptions {
  token?: string;
  basic?: string;
  json?: unknown;
  form?: Record<string, string> | string;
  headers?: Record<string, string>;
}

/** UAA on a real PostgreSQL behind a plain listener. Hashes are cheap here: bcrypt's own strength is not what is tested. */
export async function startTestUaa(changes: Partial<UaaOptions> = {}): Promise<TestUaa> {
  const postgresql: TestPostgresql = await startTestPostgresql(['uaa']);
  const sealer = new Sealer([{ label: 'test', key: randomBytes(32) }]);
  const logLines: string[] = [];
  let offsetMs = 0;
  const options: UaaOptions = {
    db: postgresql.open<UaaSchema>('uaa'),
    sealer,
    log: new Logger('uaa', {}, (line) => logLines.push(line)),
    urls: URLS,
    bcryptCost: 4,
    clock: () => new Date(Date.now() + offsetMs),
    bootstrap: {
      adminUser: { userName: 'admin', password: ADMIN_PASSWORD },
      clients: [
        adminClient({ secret: ADMIN_SECRET }),
        cloudControllerClient({ secret: CC_SECRET }),
        sshProxyClient({ secret: SSH_SECRET, redirectUri: `${URLS.uaa}/login` }),
      ],
    },
    ...changes,
  };
  let uaa = createUaa(options);
  await uaa.start();
  const server: Server = createServer((request, response) => uaa.handler(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  const test: TestUaa = {
    get uaa() {
      return uaa;
    },
    url: base,
    options,
    db: options.db,
    haltDatabase: () => postgresql.halt(),
    logLines,
    ahead: (seconds) => {
      offsetMs = seconds * 1000;
    },
    restart: async () => {
      await uaa.close();
      uaa = createUaa(options);
      await uaa.start();
    },
    call: async (method, path, { token, basic, json, form, headers } = {}) => {
      const sent = new Headers({ accept: 'application/json', ...headers });
      if (token !== undefined) sent.set('authorization', `bearer ${token}`);
      if (basic !== undefined) sent.set('authorization', `Basic ${Buffer.from(basic).toString('base64')}`);
      let body: string | undefined;
      if (json !== undefined) {
        sent.set('content-type', 'application/json');
        body = JSON.stringify(json);
      }
      if (form !== undefined) {
        if (!sent.has('content-type')) sent.set('content-type', 'application/x-www-form-urlencoded');
        body = typeof form === 'string' ? form : new URLSearchParams(form).toString();
      }
      const response = await fetch(`${base}${path}`, { method, headers: sent, body: body ?? null, redirect: 'manual' });
      const text = await response.text();
      const isJson = response.headers.get('content-type')?.includes('json');
      return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text };
    },
    grant: (values, basic = 'cf:', query = '') =>
      test.call('POST', `/oauth/token${query}`, basic === null ? { form: values } : { form: values, basic }),
    login: async (username, password) => {
      const answer = await test.grant({ grant_type: 'password', username, password });
      if (answer.status !== 200) throw new Error(`login of ${username}: ${JSON.stringify(answer.body)}`);
      return answer.body.access_token;
    },
    filtered: (path, filter, token) => test.call('GET', `${path}?filter=${encodeURIComponent(filter)}`, { token }),
    adminToken: () => test.login('admin', ADMIN_PASSWORD),
    clientToken: async (id, secret) => {
      const answer = await test.grant({ grant_type: 'client_credentials' }, `${id}:${secret}`);
      if (answer.status !== 200) throw new Error(`token of ${id}: ${JSON.stringify(answer.body)}`);
      return answer.body.access_token;
    },
    createUser: async (userName, password = 'a long password') => {
      const answer = await test.call('POST', '/Users', {
        token: await test.adminToken(),
        json: {
          userName,
          password,
          origin: '',
          name: { familyName: userName, givenName: userName },
          emails: [{ value: userName, primary: true }],
        },
      });
      if (answer.status !== 201) throw new Error(`creation of ${userName}: ${JSON.stringify(answer.body)}`);
      return answer.body.id;
    },
    stop: async () => {
      await uaa.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await postgresql.stop();
    },
  };
  return test;
}
