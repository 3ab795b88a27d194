import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { untilHealthy, untilUnhealthy } from '../../../src/cell/health/monitor.ts';
import { createProbe } from '../../../src/cell/health/probe.ts';
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
