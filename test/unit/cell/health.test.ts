import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { create } from '@bufbuild/protobuf';
import { untilHealthy, untilUnhealthy } from '../../../src/cell/health/monitor.ts';
import { createProbe, createReadinessProbe } from '../../../src/cell/health/probe.ts';
import { HealthCheckSchema } from '../../../src/contracts/gen/diego_pb.js';

const never = new AbortController().signal;

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

test('a port check passes where something listens and says why where nothing does', async () => {
  const server = createTcpServer((socket) => socket.destroy());
  const port = await listen(server);
  const check = create(HealthCheckSchema, { type: 'port' });
  assert.equal(await createProbe(check, '127.0.0.1', port)!(never), null);
  server.close();
  assert.match((await createProbe(check, '127.0.0.1', 9)!(never))!, /:9: connection refused$/);
});

test('an instance that answers is well, however long the cell itself stood still meanwhile', async (t) => {
  // A thread of its own: it answers while this one does not run.
  const app = new Worker(
    `const { parentPort } = require('node:worker_threads');
    const server = require('node:http').createServer((_, response) => response.end());
    server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port));`,
    { eval: true },
  );
  t.after(() => app.terminate());
  const [port] = await once(app, 'message');
  for (const type of ['port', 'http']) {
    const asked = createProbe(create(HealthCheckSchema, { type }), '127.0.0.1', port)!(never);
    await Promise.resolve();
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_100);
    assert.equal(await asked, null, type);
  }
});

test('an http check asks for whatever endpoint the API takes, in the words of HTTP', async () => {
  const asked: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url);
    response.end();
  });
  const port = await listen(server);
  const probe = (httpEndpoint: string) =>
    createProbe(create(HealthCheckSchema, { type: 'http', httpEndpoint }), '127.0.0.1', port)!(never);
  for (const endpoint of ['/€?q=ü', '//other.example/x', '/\u0000\ud800', '/a%20b?c=%41'])
    assert.equal(await probe(endpoint), null);
  assert.deepEqual(asked, ['/%E2%82%AC?q=%C3%BC', '//other.example/x', '/%00%EF%BF%BD', '/a%20b?c=%41']);
  assert.match((await probe('health'))!, /^Failed to make HTTP request to 'health' on port \d+: it is not a path$/);
  server.close();
});

test('an http check wants 200 from its endpoint, in time', async () => {
  const server = createServer((request, response) => {
    if (request.url === '/slow') return;
    response.writeHead(request.url === '/well' ? 200 : 503).end();
  });
  const port = await listen(server);
  const probe = (httpEndpoint: string) =>
    createProbe(create(HealthCheckSchema, { type: 'http', httpEndpoint }), '127.0.0.1', port)!(never);
  assert.equal(await probe('/well'), null);
  assert.match((await probe('/ill'))!, /'\/ill' on port \d+: received status code 503 in \d+ms$/);
  assert.match((await probe('/slow'))!, /timed out after 1\.00 seconds$/);
  server.closeAllConnections();
  server.close();
});

test('an http check asks as the router would for HTTPS, so that an app which forces HTTPS is well', async (t) => {
  const server = createServer((request, response) => {
    const { 'x-forwarded-proto': protocol, 'user-agent': agent } = request.headers;
    if (protocol === 'https' && agent === 'diego-healthcheck') response.end('ok');
    else response.writeHead(301, { location: 'https://app.example.org/' }).end();
  });
  const check = create(HealthCheckSchema, { type: 'http', httpEndpoint: '/health' });
  const port = await listen(server);
  t.after(() => server.close());
  assert.equal(await createProbe(check, '127.0.0.1', port)!(never), null);
  assert.equal(await createReadinessProbe(check, '127.0.0.1', port)!(never), null);
});

test('an http check follows redirects within the instance, and none that lead elsewhere', async (t) => {
  let foreign = 0;
  const elsewhere = createServer((_, response) => {
    foreign += 1;
    response.end();
  });
  const elsewherePort = await listen(elsewhere);
  const server = createServer((request, response) => {
    const targets: Record<string, string> = {
      '/relative': '/well?a=1',
      '/absolute': `http://${request.headers.host}/well?a=1`,
      '/elsewhere': `http://127.0.0.1:${elsewherePort}/`,
      '/https': 'https://127.0.0.1/',
      '/loop': '/loop',
      '/unreadable': 'http://[',
    };
    const target = targets[request.url!];
    if (request.url === '/well?a=1') response.end();
    else response.writeHead(302, target === undefined ? {} : { location: target }).end();
  });
  const port = await listen(server);
  t.after(() => {
    server.close();
    elsewhere.close();
  });
  const probe = (httpEndpoint: string) =>
    createProbe(create(HealthCheckSchema, { type: 'http', httpEndpoint }), '127.0.0.1', port)!(never);
  for (const path of ['/relative', '/absolute']) assert.equal(await probe(path), null, path);
  for (const path of ['/elsewhere', '/https', '/loop', '/unreadable', '/nowhere']) {
    assert.match((await probe(path))!, /received status code 302 in \d+ms$/, path);
  }
  assert.equal(foreign, 0);
});

test('a process check needs no probe; no check at all is a port check', () => {
  assert.equal(createProbe(create(HealthCheckSchema, { type: 'process' }), '127.0.0.1', 1), null);
  assert.notEqual(createProbe(undefined, '127.0.0.1', 1), null);
});

test('an instance is asked until it is well, and then until it is not', async () => {
  const answers = ['no', 'no', null, null, 'gone'];
  let asked = 0;
  const probe = async () => answers[asked++] ?? null;
  assert.equal(await untilHealthy(probe, 5_000, never), null);
  assert.equal(asked, 3);
  assert.equal(await untilUnhealthy(probe, 5, never), 'gone');
  assert.equal(await untilHealthy(async () => 'never', 120, never), 'never');
  await assert.rejects(untilUnhealthy(async () => null, 5, AbortSignal.timeout(30)));
});
