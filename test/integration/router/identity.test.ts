import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { run } from '../../../src/kit/process.ts';
import { handshake, ask as send, sendRaw } from '../../support/http-client.ts';
import { type RequestPath, startRequestPath } from '../../support/request-path.ts';

let path: RequestPath;

before(async () => {
  path = await startRequestPath({ firstPort: 21210, prefix: 'router-identity' });
  for (const name of ['mine', 'other']) {
    const { port } = await path.startBackend((_, response) => response.end(name));
    await path.registerInstance(`inst-${name}`, port);
  }
});
after(() => path.close());

const ask = (host: string) => send({ host, port: path.httpsPort, ca: path.pki.routerRoot.cert });

test('RTR-04: an address whose certificate is another instance\u2019s answers 502 and is never served', async () => {
  // A TLS server at the address the table says, presenting another instance's certificate whatever it is asked for.
  const { createServer } = await import('node:https');
  const other = await path.pki.instance('inst-other');
  const impostor = createServer({ cert: other.cert, key: other.key }, (_, response) => response.end('other'));
  await new Promise<void>((resolve) => impostor.listen(0, '127.0.0.1', resolve));
  const address = impostor.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  await path.setRoutes(
    { host: 'stale.cupola.test', app: 'stale', instances: [{ guid: 'inst-stale', index: 0, port }] },
    { host: 'right.cupola.test', app: 'right', instances: [{ guid: 'inst-other', index: 0, port }] },
  );
  const stale = await ask('stale.cupola.test');
  assert.equal(stale.status, 502);
  assert.equal(stale.headers['x-cf-routererror'], 'endpoint_failure');
  assert.match(stale.body, /^502 Bad Gateway: Registered endpoint failed to handle the request/);
  assert.equal((await ask('right.cupola.test')).body, 'other', 'the same server under its own name is served');
  impostor.closeAllConnections();
  impostor.close();
});

test('RTR-04: an instance whose certificate is not under the instance root answers 502', async () => {
  const { createServer } = await import('node:https');
  const foreign = await path.pki.component('inst-foreign');
  const server = createServer({ cert: foreign.cert, key: foreign.key }, (_, response) => response.end('foreign'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  await path.setRoutes({ host: 'foreign.cupola.test', instances: [{ guid: 'inst-foreign', index: 0, port }] });
  assert.equal((await ask('foreign.cupola.test')).status, 502);
  server.closeAllConnections();
  server.close();
});

test('SECURITY-TESTS 7: a stale route to a cell that no longer has the instance answers 502, not another app', async () => {
  await path.setRoutes({ host: 'gone.cupola.test', app: 'gone', instances: [{ guid: 'inst-gone', index: 0 }] });
  const answer = await ask('gone.cupola.test');
  assert.equal(answer.status, 502);
  assert.equal(answer.headers['x-cf-routererror'], 'endpoint_failure');
});

test('RTR-05, TLS-07: the cell proxy serves the router alone', async () => {
  const name = 'inst-mine';
  const request = `GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`;
  const to = { host: '127.0.0.1', port: path.cellPort, servername: name, ca: path.pki.instanceRoot.cert };
  const router = { cert: path.pki.router.cert, key: path.pki.router.key };
  assert.match(await sendRaw({ ...to, ...router }, request), /mine$/);
  await assert.rejects(sendRaw(to, request), /certificate required|alert|ECONNRESET/i, 'without a certificate');
  const cell = await path.pki.component('cell');
  assert.equal(await sendRaw({ ...to, ...cell }, request), '', 'with another component\u2019s');
  const instance = await path.pki.instance('inst-other');
  await assert.rejects(
    sendRaw({ ...to, ...instance }, request),
    /unknown ca|alert|ECONNRESET/i,
    'with an instance\u2019s',
  );
});

test('a name that is no instance of the cell gets no certificate at all', async () => {
  const answer = await handshake({
    host: '127.0.0.1',
    port: path.cellPort,
    servername: 'inst-nobody',
    cert: path.pki.router.cert,
    key: path.pki.router.key,
    rejectUnauthorized: false,
  });
  assert.ok('error' in answer);
});

test('the client these tests use could speak TLS 1.1, if it were let', async () => {
  const { cert, key } = path.pki.front;
  const anything = { minVersion: 'TLSv1', ciphers: 'ALL:@SECLEVEL=0' } as const;
  const { createServer } = await import('node:tls');
  const server = createServer({ cert, key, ...anything }, (socket) => socket.end());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  const answer = await handshake({
    host: '127.0.0.1',
    port,
    rejectUnauthorized: false,
    maxVersion: 'TLSv1.1',
    ...anything,
  });
  assert.equal('protocol' in answer && answer.protocol, 'TLSv1.1');
  server.close();
});

test('TLS-04, TLS-05: TLS 1.1 and suites outside the list are refused on both listeners', async () => {
  for (const [port, servername] of [
    [path.httpsPort, 'app.cupola.test'],
    [path.cellPort, 'inst-mine'],
  ] as const) {
    const to = { host: '127.0.0.1', port, servername, rejectUnauthorized: false };
    const client = { cert: path.pki.router.cert, key: path.pki.router.key };
    const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' } as const;
    assert.ok('error' in (await handshake({ ...to, ...client, ...old })), `TLS 1.1 on ${port}`);
    const weak = { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-SHA256' } as const;
    assert.ok('error' in (await handshake({ ...to, ...client, ...weak })), `CBC on ${port}`);
    const good = { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' } as const;
    assert.deepEqual(await handshake({ ...to, ...client, ...good }), {
      protocol: 'TLSv1.2',
      cipher: 'ECDHE-ECDSA-AES128-GCM-SHA256',
    });
  }
});

test('TLS-06, RTR-07: the router offers exactly the suites that were named', async () => {
  const named = await startRequestPath({
    firstPort: 21220,
    prefix: 'router-suites',
    changeSettings: (settings) => ({
      ...settings,
      tls: {
        minimumVersion: 'TLSv1.2',
        ciphers: ['ECDHE-ECDSA-AES256-GCM-SHA384'],
        cipherSuites: ['TLS_AES_256_GCM_SHA384'],
      },
    }),
  });
  try {
    const to = { host: '127.0.0.1', port: named.httpsPort, servername: 'x.cupola.test', rejectUnauthorized: false };
    const offered: string[] = [];
    for (const cipher of [
      'ECDHE-ECDSA-AES128-GCM-SHA256',
      'ECDHE-ECDSA-AES256-GCM-SHA384',
      'ECDHE-ECDSA-CHACHA20-POLY1305',
    ]) {
      const answer = await handshake({ ...to, maxVersion: 'TLSv1.2', ciphers: cipher });
      if ('cipher' in answer) offered.push(answer.cipher);
    }
    for (const cipher of ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256']) {
      const answer = await handshake({ ...to, minVersion: 'TLSv1.3', ciphers: cipher });
      if ('cipher' in answer) offered.push(answer.cipher);
    }
    assert.deepEqual(offered, ['ECDHE-ECDSA-AES256-GCM-SHA384', 'TLS_AES_256_GCM_SHA384']);
  } finally {
    await named.close();
  }
});

test('keys are readable by the proxy\u2019s group alone, and no account but root may write what HAProxy reads', async () => {
  const file = `${path.cellSettings.runDirectory}/certificates/inst-mine.pem`;
  const account = path.cellSettings.account!;
  assert.equal((await run('stat', ['-c', '%a %u %g', file])).trim(), `640 0 ${account.gid}`);
  assert.equal((await run('stat', ['-c', '%a', `${path.settings.runDirectory}/haproxy.cfg`])).trim(), '644');
});

test('a certificate that is not the instance\u2019s, or a key that is not the certificate\u2019s, is not taken', async () => {
  const mine = await path.pki.instance('inst-x');
  const other = await path.pki.instance('inst-y');
  const target = { instanceGuid: 'inst-x', address: '127.0.0.1', port: 1 };
  const refused = { code: 'bad_instance_certificate' };
  await assert.rejects(path.cell.register({ ...target, certificate: other.cert, key: other.key }), refused);
  await assert.rejects(path.cell.register({ ...target, certificate: mine.cert, key: other.key }), refused);
  const hostile = { certificate: mine.cert, key: mine.key, instanceGuid: '../x' };
  await assert.rejects(path.cell.register({ ...target, ...hostile }), { code: 'bad_proxy_target' });
});
