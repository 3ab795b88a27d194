import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { decodeJwt } from 'jose';
import { PLAIN_ENVIRONMENT, run } from '../../../src/kit/process.ts';
import { NO_OFFICIAL_CF, officialCf } from '../../support/official-cf.ts';
import { ADMIN_PASSWORD, ADMIN_SECRET, CC_SECRET, SSH_SECRET, startTestUaa, type TestUaa } from './support.ts';

const CF = officialCf() ?? '';
const skip = CF === '' ? NO_OFFICIAL_CF : false;
const home = mkdtempSync('/tmp/cupola-cf-home-');
let uaa: TestUaa;
let api: Server;

/** The tool asks an API where UAA is; this one knows nothing else. */
before(async () => {
  if (skip) return;
  api = createServer((request, response) => {
    const self = `http://${request.headers.host}`;
    const links = {
      self: { href: self },
      cloud_controller_v3: { href: `${self}/v3`, meta: { version: '3.224.0' } },
      uaa: { href: self },
      login: { href: self },
      app_ssh: { href: 'ssh.example.test:2222', meta: { host_key_fingerprint: 'x', oauth_client: 'ssh-proxy' } },
    };
    const answers: Record<string, unknown> = {
      '/': { links },
      '/v3': { links },
      '/v3/info': { name: 'test', build: '', version: 0, links: {} },
    };
    const path = (request.url ?? '').split('?')[0]!;
    if (path in answers)
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answers[path]));
    else if (request.method === 'POST' && path === '/v3/users') {
      response.writeHead(201, { 'content-type': 'application/json' }).end('{"guid":"made"}');
    } else uaa.uaa.handler(request, response);
  });
  await new Promise<void>((resolve) => api.listen(0, '127.0.0.1', resolve));
  uaa = await startTestUaa({ accessTokenSeconds: 30 });
  await cf('api', `http://127.0.0.1:${(api.address() as AddressInfo).port}`);
});
after(async () => {
  rmSync(home, { recursive: true, force: true });
  if (skip) return;
  api.closeAllConnections();
  await new Promise((resolve) => api.close(resolve));
  await uaa.stop();
});

const environment = { ...PLAIN_ENVIRONMENT, HOME: home, CF_HOME: home, CF_COLOR: 'false' };

/** What the tool says, whether it succeeds or not. */
async function cf(...args: string[]): Promise<string> {
  const said: string[] = [];
  try {
    await run(CF, args, { env: environment, timeoutMs: 30_000, onOutput: (text) => said.push(text) });
    return said.join('');
  } catch (error) {
    return `FAILED ${said.join('')} ${error instanceof Error ? error.message : ''}`;
  }
}

const kept = (name: 'AccessToken' | 'RefreshToken'): string => {
  const settings: unknown = JSON.parse(readFileSync(join(home, '.cf/config.json'), 'utf8'));
  const value = Object.getOwnPropertyDescriptor(settings, name)?.value;
  return typeof value === 'string' ? value : '';
};

test('the official command-line tool logs in, refreshes its token and logs out', { skip }, async () => {
  assert.match(await cf('auth', 'admin', 'wrong'), /FAILED.*Credentials were rejected/s);
  assert.match(await cf('auth', 'admin', ADMIN_PASSWORD), /OK/);
  const first = kept('AccessToken');
  assert.equal(decodeJwt(first.replace(/^bearer /i, ''))['user_name'], 'admin');
  assert.match(await cf('oauth-token'), /^bearer ey/);
  assert.notEqual(kept('AccessToken'), first, 'a token about to expire is refreshed');
  const [access, refresh] = [kept('AccessToken').replace(/^bearer /i, ''), kept('RefreshToken')];
  assert.match(await cf('logout'), /OK/);
  assert.equal((await uaa.call('GET', '/userinfo', { token: access })).status, 401, 'access ends');
  assert.equal((await uaa.grant({ grant_type: 'refresh_token', refresh_token: refresh })).status, 401, 'refresh ends');
});

test('the tool creates a user, and reads that the name is taken', { skip }, async () => {
  await cf('auth', 'admin', ADMIN_PASSWORD);
  assert.match(await cf('create-user', 'tool-user', 'a long password'), /OK/);
  assert.match(await cf('create-user', 'tool-user', 'a long password'), /already exists/);
  assert.match(await cf('create-user', 'weak-user', 'short'), /FAILED.*at least 8 characters/s);
  assert.match(await cf('auth', 'tool-user', 'a long password'), /OK/);
  assert.match(await cf('create-user', 'x', 'a long password'), /FAILED/);
});

test('the tool gets a code for the SSH proxy', { skip }, async () => {
  await cf('auth', 'admin', ADMIN_PASSWORD);
  const code = (await cf('ssh-code')).trim();
  assert.match(code, /^[\w-]{32}$/);
  const answer = await uaa.grant({ grant_type: 'authorization_code', code }, `ssh-proxy:${SSH_SECRET}`);
  assert.equal(answer.status, 200);
});

test('the tool logs in as a client', { skip }, async () => {
  assert.match(await cf('auth', 'cloud_controller', CC_SECRET, '--client-credentials'), /OK/);
  assert.equal(decodeJwt(kept('AccessToken').replace(/^bearer /i, ''))['client_id'], 'cloud_controller');
  assert.match(
    await cf('auth', 'admin', `${ADMIN_SECRET}x`, '--client-credentials'),
    /FAILED.*Credentials were rejected/s,
  );
});

test('the tool tells a locked account apart', { skip }, async () => {
  await cf('logout');
  for (let attempt = 0; attempt < 5; attempt += 1) await cf('auth', 'locked-out', 'guess');
  assert.match(await cf('auth', 'locked-out', 'guess'), /locked/);
});
