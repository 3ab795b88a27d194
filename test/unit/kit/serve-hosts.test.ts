import assert from 'node:assert/strict';
import { request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { type HostsServer, serveHosts } from '../../../src/kit/http.ts';
import { Logger } from '../../../src/kit/log.ts';
import type { KeyAndCertificate } from '../../../src/kit/pki.ts';
import { type Identity, LiveIdentity, tlsOptions } from '../../../src/kit/tls.ts';
import { identityUnder, testRoot } from '../../support/identities.ts';

let root: KeyAndCertificate;
let served: HostsServer;
let live: LiveIdentity;

before(async () => {
  root = await testRoot();
  live = new LiveIdentity(await identityUnder(root, 'control'));
  served = await serveHosts({
    host: '127.0.0.1',
    port: 0,
    identity: live,
    hosts: new Map([
      ['api.cupola.test', { peers: ['router'], handler: (_, response) => void response.end('api') }],
      ['127.0.0.1', { peers: ['cell'], handler: (_, response) => void response.end('blobs') }],
    ]),
    log: new Logger('test', {}, () => {}),
  });
});
after(() => served.close(0));

/** The listener ended the handshake: the alert was read, or the connection was gone before it. */
const ENDED = /^(ERR_SSL_\w*ALERT_UNKNOWN_CA|ECONNRESET|EPIPE)$/;

/** The status, or the code of the error that ended the handshake. */
function ask(peer: Identity, host: string): Promise<number | string> {
  const { promise, resolve } = Promise.withResolvers<number | string>();
  const { port } = served.server.address() as AddressInfo;
  const call = request(
    { host: '127.0.0.1', port, servername: 'control', headers: { host }, agent: false, ...tlsOptions(peer) },
    (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    },
  );
  call.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  call.end();
  return promise;
}

test('SECURITY 22, TLS-07: a host answers its own peers alone, though others of the listener have valid certificates', async () => {
  const router = await identityUnder(root, 'router');
  const cell = await identityUnder(root, 'cell');
  assert.equal(await ask(router, 'api.cupola.test'), 200);
  assert.equal(await ask(cell, '127.0.0.1'), 200);
  assert.equal(await ask(cell, 'api.cupola.test'), 403, 'a cell, of the API');
  assert.equal(await ask(cell, 'API.cupola.test:443'), 403);
  assert.equal(await ask(router, '127.0.0.1'), 403, 'the router, of the blobs');
  assert.equal(await ask(router, 'other.cupola.test'), 404);
  const stranger = await identityUnder(root, 'nats');
  assert.equal(await ask(stranger, 'other.cupola.test'), 403, 'a peer of no host, which hosts there are');
});

test('SECURITY 35: a listener takes a new root and a new certificate while it serves, and refuses the old root afterwards', async () => {
  const next = await testRoot('Test root 2');
  const oldRouter = await identityUnder(root, 'router', [root, next]);
  const newRouter = await identityUnder(next, 'router', [root, next]);
  assert.match(String(await ask(newRouter, 'api.cupola.test')), ENDED, 'the new root is not trusted yet');
  live.replace(await identityUnder(root, 'control', [root, next]));
  assert.equal(await ask(newRouter, 'api.cupola.test'), 200, 'the new root is trusted at once');
  assert.equal(await ask(oldRouter, 'api.cupola.test'), 200);
  live.replace(await identityUnder(next, 'control', [root, next]));
  assert.equal(await ask(oldRouter, 'api.cupola.test'), 200);
  const strict = await identityUnder(next, 'router', [next]);
  assert.equal(await ask(strict, 'api.cupola.test'), 200, 'who trusts the new root alone is shown a certificate of it');
  live.replace(await identityUnder(next, 'control', [next]));
  assert.equal(await ask(newRouter, 'api.cupola.test'), 200);
  assert.match(String(await ask(oldRouter, 'api.cupola.test')), ENDED, 'the old root is trusted no more');
  live.replace(await identityUnder(root, 'control'));
});

test('a replacement whose key is another certificate’s is refused, and the former stays in force', async () => {
  const [one, other] = [await identityUnder(root, 'control'), await identityUnder(root, 'control')];
  assert.throws(() => live.replace({ ...one, key: other.key }));
  assert.equal(await ask(await identityUnder(root, 'router'), 'api.cupola.test'), 200);
});
