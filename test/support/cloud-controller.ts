import { Agent, createServer, type Server } from 'node:http';
import { type Client, createClient, createRouterTransport } from '@connectrpc/connect';
import { exportJWK, generateKeyPair, type JSONWebKeySet, SignJWT } from 'jose';
import type { Kysely } from 'kysely';
import type { StorageSettings, SystemBuildpack } from '../../src/cloud-controller/context.ts';
import type { Database } from '../../src/cloud-controller/database.ts';
import { type CloudController, createCloudController, DEFAULT_STORAGE } from '../../src/cloud-controller/index.ts';
import type { RequestLimits } from '../../src/cloud-controller/limits.ts';
import { AccessTokenVerifier } from '../../src/contracts/access-token.ts';
import type { Blobs } from '../../src/contracts/blobs.ts';
import type { Bbs } from '../../src/contracts/gen/diego_pb.js';
import { Ingress } from '../../src/contracts/gen/loggregator_pb.js';
import type { RevocationList } from '../../src/contracts/revocation-list.ts';
import type { DirectoryUser, UserDirectory } from '../../src/contracts/user-directory.ts';
import { Sealer } from '../../src/kit/crypto.ts';
import type { Logger } from '../../src/kit/log.ts';
import { TestBbs } from './bbs.ts';
import { TestBlobs } from './blobs.ts';
import { type Answer, ask } from './http-client.ts';
import { silentLog, startTestPostgresql } from './postgresql.ts';
import { nothingRevoked } from './revocations.ts';

export const ISSUER = 'https://uaa.test/oauth/token';

/** A UAA whose tokens the test's Cloud Controller takes. */
export interface TokenSource {
  tokenKeys(): Promise<JSONWebKeySet>;
  revocations: RevocationList;
}

export interface Reply {
  status: number;
  headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: a test reads what it expects and fails where it is not there
  body: any;
}

/** Of what a list shows. */
export function guidsOf({ body }: Reply): string[] {
  return body.resources.map(({ guid }: { guid: string }) => guid);
}

/** A person or client with a token, calling the API. */
export interface Person {
  guid: string;
  token: string;
  get(path: string): Promise<Reply>;
  post(path: string, body?: unknown): Promise<Reply>;
  patch(path: string, body?: unknown): Promise<Reply>;
  delete(path: string): Promise<Reply>;
  request(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Reply>;
  /** Follows the 202's Location until the job ends. */
  finished(reply: Reply): Promise<Reply>;
}

export interface TestCloudController {
  url: string;
  db: Kysely<Database>;
  room: CloudController;
  users: Map<string, DirectoryUser>;
  admin: Person;
  /** Somebody UAA knows; scopes default to those of an ordinary user. */
  person(name: string, scopes?: readonly string[]): Promise<Person>;
  /** A client acting for itself. */
  client(id: string, scopes: readonly string[]): Promise<Person>;
  /** Calls without a token. */
  anonymous: Person;
  /** A request as it is, with this token where it is not empty. */
  send(token: string, method: string, path: string, body?: string, headers?: Record<string, string>): Promise<Answer>;
  close(): Promise<void>;
}

export const READ_WRITE = ['cloud_controller.read', 'cloud_controller.write', 'openid'];

/** The room on a real PostgreSQL, behind plain HTTP, with tokens signed by a test key and users kept in a map. */
export async function startTestCloudController(
  options: {
    log?: Logger;
    bbs?: Client<typeof Bbs>;
    ingress?: Client<typeof Ingress>;
    blobs?: Blobs;
    systemBuildpacks?: readonly SystemBuildpack[];
    /** Off for the whole platform. */
    ssh?: boolean;
    /** Whose tokens are taken besides the test's own. Its issuer must be ISSUER. */
    uaa?: TokenSource;
    /** Stands in for UAA and Log Cache. */
    elsewhere?: string;
    storage?: Partial<StorageSettings>;
    /** Off at a platform whose operator does not say otherwise. */
    http2Apps?: boolean;
    requestLimits?: Partial<RequestLimits>;
    /** Called for each question to UAA's directory. */
    looksUp?: (kind: keyof UserDirectory) => void;
  } = {},
): Promise<TestCloudController> {
  const postgresql = await startTestPostgresql(['cc']);
  const db = postgresql.open<Database>('cc');
  const { publicKey, privateKey } = await generateKeyPair('RS256', { extractable: true });
  const jwk = { ...(await exportJWK(publicKey)), kid: 'test', alg: 'RS256' };
  const own = { keys: [jwk] };
  const users = new Map<string, DirectoryUser>();
  let handle: CloudController['handler'] = () => {};
  // As long as where the platform serves it: what ends a connection before is the API's.
  const server = createServer({ keepAliveTimeout: 75_000 }, (request, response) => handle(request, response));
  const url = await listen(server);
  const room = await createCloudController({
    db,
    sealer: new Sealer([{ label: 'test', key: Buffer.alloc(32, 7) }]),
    log: options.log ?? silentLog,
    tokens: new AccessTokenVerifier({
      issuer: ISSUER,
      audience: 'cloud_controller',
      keys: async () => (options.uaa ? { keys: [jwk, ...(await options.uaa.tokenKeys()).keys] } : own),
      revocations: options.uaa?.revocations ?? nothingRevoked(),
    }),
    users: directory(users, options.looksUp),
    bbs: options.bbs ?? new TestBbs().client,
    ingress: options.ingress ?? silentIngress,
    blobs: options.blobs ?? new TestBlobs(),
    systemBuildpacks: options.systemBuildpacks ?? [],
    settings: {
      urls: {
        api: url,
        uaa: options.elsewhere ?? 'https://uaa.test',
        login: options.elsewhere ?? 'https://login.test',
        logCache: options.elsewhere ?? 'https://log-cache.test',
        ssh: 'ssh.test:2222',
      },
      domain: 'test.example',
      systemHosts: ['api', 'uaa', 'login', 'log-cache'].map((name) => `${name}.test.example`),
      sshHostKeyFingerprint: options.ssh === false ? null : 'TestTestTestTestTestTestTestTestTestTestTes',
      build: 'test',
      http2Apps: options.http2Apps ?? true,
      strict: true,
      defaults: { memoryMb: 256, diskMb: 512, healthCheckTimeoutSeconds: 60 },
      maximumAppDiskMb: 2048,
      storage: { ...DEFAULT_STORAGE, ...options.storage },
      ...(options.requestLimits ? { requestLimits: options.requestLimits } : {}),
      staging: { memoryMb: 512, diskMb: 1024, timeoutSeconds: 60, environment: {}, egress: [] },
    },
  });
  handle = room.handler;
  await room.start();

  const sign = (claims: Record<string, unknown>, scopes: readonly string[]): Promise<string> =>
    new SignJWT({ jti: crypto.randomUUID(), scope: scopes, ...claims })
      .setProtectedHeader({ alg: 'RS256', kid: 'test' })
      .setIssuer(ISSUER)
      .setAudience(['cloud_controller', 'openid'])
      .setIssuedAt()
      .setExpirationTime('10m')
      .sign(privateKey);
  // By fetch a request takes more of the processor.
  const agent = new Agent({ keepAlive: true });
  const send: TestCloudController['send'] = (token, method, path, body, headers = {}) => {
    const { host, port, pathname, search } = new URL(path, url);
    return ask({
      host,
      port: Number(port),
      path: `${pathname}${search}`,
      method,
      headers: {
        ...(token === '' ? {} : { authorization: `bearer ${token}` }),
        ...(body === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) }),
        ...headers,
      },
      body,
      agent,
      waitMs: 300_000,
    });
  };
  const caller = (guid: string, token: string): Person => {
    const request: Person['request'] = async (method, path, body, sent) => {
      const written = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
      const { status, headers, body: text } = await send(token, method, path, written, sent);
      return {
        status,
        // Few look at them.
        get headers() {
          return new Headers(headers as Record<string, string>);
        },
        body: text === '' ? null : JSON.parse(text),
      };
    };
    const self: Person = {
      guid,
      token,
      request,
      get: (path) => request('GET', path),
      post: (path, body = {}) => request('POST', path, body),
      patch: (path, body = {}) => request('PATCH', path, body),
      delete: (path) => request('DELETE', path),
      finished: async (reply) => {
        const location = reply.headers.get('location');
        if (reply.status !== 202 || !location) throw new Error(`no job: ${reply.status} ${JSON.stringify(reply.body)}`);
        for (let attempt = 0; attempt < 400; attempt++) {
          const job = await self.get(location);
          if (job.body.state !== 'PROCESSING') return job;
          await new Promise((resolve) => setTimeout(resolve, 25));
        }
        throw new Error('the job did not end');
      },
    };
    return self;
  };
  const person: TestCloudController['person'] = async (name, scopes = READ_WRITE) => {
    const id = crypto.randomUUID();
    users.set(id, { id, userName: name, origin: 'uaa' });
    const claims = { user_id: id, user_name: name, origin: 'uaa', client_id: 'cf', sub: id };
    return caller(id, await sign(claims, scopes));
  };
  return {
    url,
    db,
    room,
    users,
    admin: await person('admin', [...READ_WRITE, 'cloud_controller.admin']),
    anonymous: caller('', ''),
    send,
    person,
    client: async (id, scopes) => caller(id, await sign({ client_id: id, sub: id }, scopes)),
    close: async () => {
      await room.close();
      agent.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await postgresql.stop();
    },
  };
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return `http://127.0.0.1:${address.port}`;
}

function directory(
  users: ReadonlyMap<string, DirectoryUser>,
  looksUp: (kind: keyof UserDirectory) => void = () => {},
): UserDirectory {
  const all = (kind: keyof UserDirectory): DirectoryUser[] => {
    looksUp(kind);
    return [...users.values()];
  };
  return {
    byIds: async (ids) => all('byIds').filter((user) => ids.includes(user.id)),
    byNames: async (names, origin) => {
      const wanted = new Set(names.map((name) => name.toLowerCase()));
      return all('byNames').filter(
        (user) => wanted.has(user.userName.toLowerCase()) && (origin === undefined || user.origin === origin),
      );
    },
    byPartialNames: async (parts) =>
      all('byPartialNames').filter((user) =>
        parts.some((part) => user.userName.toLowerCase().includes(part.toLowerCase())),
      ),
  };
}

const silentIngress = createClient(
  Ingress,
  createRouterTransport(({ service }) => service(Ingress, { send: () => ({}) })),
);
