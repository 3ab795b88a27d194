import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { AccessTokenVerifier } from '../../../src/contracts/access-token.ts';
import { TokenRevocations } from '../../../src/contracts/gen/token-revocations_pb.js';
import { RevocationList } from '../../../src/contracts/revocation-list.ts';
import { Sealer } from '../../../src/kit/crypto.ts';
import { client, inMemoryTransport } from '../../../src/kit/rpc.ts';
import { createLoggregator } from '../../../src/loggregator/index.ts';
import { SigningKeys } from '../../../src/uaa/keys/signing-keys.ts';
import { grant, runningApp, startTestFoundation } from '../../support/apps.ts';
import { ISSUER } from '../../support/cloud-controller.ts';
import { silentLog } from '../../support/postgresql.ts';
import { startTestUaa } from './support.ts';

/** How late a verifier may learn of a revocation. */
export const BOUND_MS = 5_000;
export const PASSWORD = 'a long password';
export const EVERYWHERE = ['Cloud Controller', 'log cache', 'SSH'];

export type Verifiers = Awaited<ReturnType<typeof startVerifiers>>;

/** UAA and who verifies its tokens, as control joins them: Cloud Controller, log cache and SSH, with an app to be let in to. */
export async function startVerifiers() {
  const sealer = new Sealer([{ label: 'test', key: randomBytes(32) }]);
  const uaa = await startTestUaa({ sealer, issuer: ISSUER });
  /** How UAA answers who asks for revocations. */
  const asking: { answers: 'at once' | 'with an error' | 'never' } = { answers: 'at once' };
  const asked = client(TokenRevocations, inMemoryTransport(uaa.uaa.routes));
  const revocations = new RevocationList({
    uaa: {
      since: (request, options) => {
        if (asking.answers === 'with an error') return Promise.reject(new Error('planted: the inside of UAA'));
        if (asking.answers === 'never') return new Promise(() => {});
        return asked.since(request, options);
      },
    },
    log: silentLog,
  });
  revocations.start();
  const tokenKeys = () => uaa.uaa.tokenKeys();
  const verifier = new AccessTokenVerifier({
    issuer: ISSUER,
    audience: 'cloud_controller',
    keys: tokenKeys,
    revocations,
  });
  const f = await startTestFoundation({ uaa: { tokenKeys, revocations } });
  const app = await runningApp(f, 'held');
  const loggregator = createLoggregator({
    log: silentLog,
    tokens: verifier,
    access: async (accessToken, sourceIds) =>
      (await f.internal.logAccess({ accessToken, sourceIds: [...sourceIds] })).allowed,
  });
  const logCache = createServer((request, response) => loggregator.handler(request, response));
  await new Promise<void>((resolve) => logCache.listen(0, '127.0.0.1', resolve));
  const { port } = logCache.address() as AddressInfo;
  let serial = 0;

  const bearer = (token: string) => ({ headers: { authorization: `bearer ${token}` } });
  const api = (token: string) => fetch(`${f.cc.url}/v3/apps/${app}`, bearer(token));
  const read = (token: string) => fetch(`http://127.0.0.1:${port}/api/v1/read/${app}`, bearer(token));
  const ssh = async (token: string): Promise<boolean> =>
    (await f.internal.sshAccess({ accessToken: token, processGuid: app, index: 0 })).allowed;

  /** Where the token is let in. */
  async function admitted(token: string): Promise<string[]> {
    const [ofApi, ofLogs, ofSsh] = await Promise.all([api(token), read(token), ssh(token)]);
    assert.ok([200, 401].includes(ofApi.status), `Cloud Controller: ${ofApi.status}`);
    assert.ok([200, 404].includes(ofLogs.status), `log cache: ${ofLogs.status}`);
    return [
      ...(ofApi.status === 200 ? ['Cloud Controller'] : []),
      ...(ofLogs.status === 200 ? ['log cache'] : []),
      ...(ofSsh ? ['SSH'] : []),
    ];
  }

  return {
    uaa,
    apiUrl: f.cc.url,
    keys: new SigningKeys(uaa.db, sealer, () => new Date()),
    revocations,
    verifier,
    asking,
    api,
    read,
    ssh,
    admitted,
    refusedWithinTheBound: async (token: string): Promise<void> => {
      const since = performance.now();
      let left = await admitted(token);
      while (left.length > 0 && performance.now() - since < BOUND_MS) {
        await pause(100);
        left = await admitted(token);
      }
      assert.deepEqual(left, []);
      const shown = await api(token);
      assert.equal(shown.status, 401);
      assert.match(await shown.text(), /"CF-InvalidAuthToken"/);
      assert.equal((await uaa.call('GET', '/userinfo', { token })).status, 401, 'UAA');
    },
    /** A space developer of the app's space. */
    developer: async (): Promise<{ id: string; name: string; token: string }> => {
      const name = `developer-${++serial}`;
      const id = await uaa.createUser(name, PASSWORD);
      await grant(f.cc, { guid: id }, 'space_developer', f.organization, f.space);
      return { id, name, token: await uaa.login(name, PASSWORD) };
    },
    /** A client that may everything. */
    machine: async (changes: Record<string, unknown> = {}): Promise<{ id: string; token: string }> => {
      const id = `machine-${++serial}`;
      const made = await uaa.call('POST', '/oauth/clients', {
        token: await uaa.adminToken(),
        json: {
          client_id: id,
          client_secret: 'first-secret',
          authorized_grant_types: ['client_credentials'],
          authorities: ['cloud_controller.admin', 'cloud_controller.read', 'cloud_controller.write', 'openid'],
          ...changes,
        },
      });
      assert.equal(made.status, 201);
      return { id, token: await uaa.clientToken(id, 'first-secret') };
    },
    close: async (): Promise<void> => {
      await revocations.stop();
      logCache.closeAllConnections();
      logCache.close();
      await loggregator.close();
      await f.close();
      await uaa.stop();
    },
  };
}

/** The change was made. */
export async function done(answer: Promise<{ status: number }>): Promise<void> {
  const { status } = await answer;
  assert.ok(status === 200 || status === 201, String(status));
}
