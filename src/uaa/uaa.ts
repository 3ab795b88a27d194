import type { IncomingMessage, ServerResponse } from 'node:http';
import type { JSONWebKeySet } from 'jose';
import type { UserDirectory } from '../contracts/user-directory.ts';
import { migrate } from '../kit/database.ts';
import { CupolaError } from '../kit/errors.ts';
import type { RequestHandler } from '../kit/http.ts';
import { attemptEach, Reconciler } from '../kit/reconcile.ts';
import type { Routes } from '../kit/rpc.ts';
import { bootstrap } from './bootstrap.ts';
import { uaaRoutes } from './contracts.ts';
import { createUaaApp } from './http/app.ts';
import { Callers, createGate } from './http/gate.ts';
import { registerOperations } from './http/operations.ts';
import { MIGRATIONS } from './migrations.ts';
import { revocationRoutes } from './oauth/revocation-service.ts';
import { createServices } from './services.ts';
import { DEFAULT_REQUEST_RATE, type UaaOptions } from './settings.ts';
import { Directory } from './users/directory.ts';

export { adminClient, cloudControllerClient, sshProxyClient } from './clients/standard.ts';
export type { UaaOptions } from './settings.ts';

export interface Uaa {
  /** Serves `uaa.<domain>` and `login.<domain>` alike; answers from the end of `start` on. */
  handler: RequestHandler;
  directory: UserDirectory;
  /** RFC 6749 section 4.1.3 for a client of this very platform: the code's access token, null for a code that is no good. It counts for `address`, where it was shown. */
  redeemCode(client: { id: string; secret: string }, code: string, address: string): Promise<string | null>;
  /** All public keys, for AccessTokenVerifier. */
  tokenKeys(): Promise<JSONWebKeySet>;
  /** Registers the services TokenRevocations, TokenKeys, UserDirectory and AuthorizationCodes. */
  routes: Routes;
  /** A new signing key: published at once, signing 15 s later. Gives its id. */
  rotateSigningKey(): Promise<string>;
  /** Ends a former signing key: every token it signed is refused. Throws `signing_key_in_use`. */
  dropSigningKey(kid: string): Promise<void>;
  /** Migrates, makes keys, groups, clients and the administrator where they are missing. */
  start(): Promise<void>;
  close(): Promise<void>;
}

const PRUNE_EVERY_MS = 10 * 60_000;
/** A new signing key each quarter, without anyone asking. */
const SIGNING_KEY_AGE_MS = 90 * 86_400_000;

/** The identity service: users, groups, clients and tokens (UAA-01, UAA-02). */
export function createUaa(options: UaaOptions): Uaa {
  const services = createServices(options);
  const callers = new Callers();
  const app = createUaaApp(
    createGate(services, callers),
    options.log,
    options.requestRate === undefined ? DEFAULT_REQUEST_RATE : options.requestRate,
  );
  app.addHook('onResponse', async (request, reply) => {
    if (reply.statusCode < 300 && mayRevoke(request.method, request.routeOptions.url ?? '')) options.revoked?.();
  });
  registerOperations(app, services, callers);

  const pruner = new Reconciler(
    'uaa-prune',
    PRUNE_EVERY_MS,
    async () => {
      const steps = {
        revocations: () => services.revocations.prune(),
        codes: () => services.codes.prune(),
        guard: () => services.guard.prune(),
        keys: async () =>
          services.keys.tend({ maxAgeMs: SIGNING_KEY_AGE_MS, longestTokenMs: await services.longestTokenMs() }),
      };
      await attemptEach(steps, options.log);
    },
    options.log,
  );
  let ready = false;
  const directory = new Directory(options.db);
  const tokenKeys = () => services.keys.publicKeys();
  const redeemCode: Uaa['redeemCode'] = async ({ id, secret }, code, address) => {
    if (!ready) return null;
    // The way every client takes, so that every check of it is passed.
    const response = await app.inject({
      method: 'POST',
      url: '/oauth/token',
      headers: {
        authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`,
        'content-type': 'application/x-www-form-urlencoded',
        'x-forwarded-for': address,
      },
      payload: new URLSearchParams({ grant_type: 'authorization_code', code }).toString(),
    });
    const { access_token: token } = response.json<{ access_token?: unknown }>();
    return response.statusCode === 200 && typeof token === 'string' ? token : null;
  };
  return {
    handler: (request: IncomingMessage, response: ServerResponse) => {
      if (ready) app.routing(request, response);
      else response.writeHead(503, { 'content-type': 'text/plain', 'retry-after': '1' }).end('UAA is starting\n');
    },
    directory,
    redeemCode,
    tokenKeys,
    routes: (router) => {
      revocationRoutes(services.revocations)(router);
      uaaRoutes({ directory, redeemCode, tokenKeys })(router);
    },
    rotateSigningKey: () => services.keys.rotate(),
    dropSigningKey: (kid) => services.keys.drop(kid),
    start: async () => {
      if (ready) throw new CupolaError('already_started', 'UAA is running');
      await migrate(options.db, 'uaa', MIGRATIONS);
      await services.keys.start();
      await bootstrap(services, options.bootstrap);
      await app.ready();
      pruner.start();
      ready = true;
    },
    close: async () => {
      ready = false;
      await pruner.stop();
      await app.close();
    },
  };
}

/** By what it is called: an operation of a later day that changes users, groups or clients is among them. */
function mayRevoke(method: string, path: string): boolean {
  if (path.startsWith('/oauth/token/revoke/')) return true;
  return method !== 'GET' && /^\/(Users|Groups|oauth\/clients)\b/.test(path);
}
