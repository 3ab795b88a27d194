import type { IncomingMessage, ServerResponse } from 'node:http';
import type { JSONWebKeySet } from 'jose';
import type { UserDirectory } from '../contracts/user-directory.ts';
import { migrate } from '../kit/database.ts';
import { CupolaError } from '../kit/errors.ts';
import type { RequestHandler } from '../kit/http.ts';
import { Reconciler } from '../kit/reconcile.ts';
import { bootstrap } from './bootstrap.ts';
import { registerClients } from './clients/operations.ts';
import { registerGroups } from './groups/operations.ts';
import { createUaaApp } from './http/app.ts';
import { Callers, createGate } from './http/gate.ts';
import { MIGRATIONS } from './migrations.ts';
import { registerDiscovery } from './oauth/discovery.ts';
import { registerIntrospection } from './oauth/introspection.ts';
import { registerTokenEndpoint } from './oauth/token-endpoint.ts';
import { createServices } from './services.ts';
import type { UaaOptions } from './settings.ts';
import { Directory } from './users/directory.ts';
import { registerUsers } from './users/operations.ts';
import { registerPasswordOperation } from './users/password-operation.ts';

export { adminClient, CF_CLIENT, cloudControllerClient, sshProxyClient } from './clients/standard.ts';
export { type ClientDefinition, minimumLengthPolicy, type UaaOptions } from './settings.ts';

export interface Uaa {
  /** Serves `uaa.<domain>` and `login.<domain>` alike; answers from the end of `start` on. */
  handler: RequestHandler;
  directory: UserDirectory;
  /** All public keys, for AccessTokenVerifier. */
  /** RFC 6749 section 4.1.3 for a client of this very platform: the code's access token, null for a code that is no good. */
  redeemCode(client: { id: string; secret: string }, code: string): Promise<string | null>;
  tokenKeys(): Promise<JSONWebKeySet>;
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
  const app = createUaaApp(createGate(services, callers), options.log);
  registerDiscovery(app, services);
  registerTokenEndpoint(app, services, callers);
  registerIntrospection(app, services, callers);
  registerUsers(app, services, callers);
  registerPasswordOperation(app, services, callers);
  registerGroups(app, services, callers);
  registerClients(app, services, callers);

  const pruner = new Reconciler(
    'uaa-prune',
    PRUNE_EVERY_MS,
    async () => {
      await services.revocations.prune();
      await services.codes.prune();
      await services.guard.prune();
      await services.keys.tend({ maxAgeMs: SIGNING_KEY_AGE_MS, longestTokenMs: await services.longestTokenMs() });
    },
    options.log,
  );
  let ready = false;
  return {
    handler: (request: IncomingMessage, response: ServerResponse) => {
      if (ready) app.routing(request, response);
      else response.writeHead(503, { 'content-type': 'text/plain', 'retry-after': '1' }).end('UAA is starting\n');
    },
    directory: new Directory(options.db),
    redeemCode: async ({ id, secret }, code) => {
      if (!ready) return null;
      // The way every client takes, so that every check of it is passed.
      const response = await app.inject({
        method: 'POST',
        url: '/oauth/token',
        headers: {
          authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`,
          'content-type': 'application/x-www-form-urlencoded',
        },
        payload: new URLSearchParams({ grant_type: 'authorization_code', code }).toString(),
      });
      const { access_token: token } = response.json<{ access_token?: unknown }>();
      return response.statusCode === 200 && typeof token === 'string' ? token : null;
    },
    tokenKeys: () => services.keys.publicKeys(),
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
