import assert from 'node:assert/strict';
import { chmod } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { connect } from 'node:tls';
import { ask } from '../../support/http-client.ts';
import { type RequestPath, sshSocketBeside, startRequestPath } from '../../support/request-path.ts';

/* Who may say nothing for how long, through all that stands between a client and an app, with times that a test can wait for. */
const IDLE = { answer: 2, tunnel: 12 };
const HOST = 'app.cupola.test';
let path: RequestPath;
const sshProxy = createServer((socket) => socket.destroy());
const tunnels: Socket[] = [];

before(async () => {
  path = await startRequestPath({
    firstPort: 21450,
    prefix: 'router-silences',
    idle: IDLE,
    changeSettings: (settings) => ({ ...settings, ssh: { socket: sshSocketBeside(settings) } }),
  });
  const socket = path.settings.ssh?.socket ?? '';
  await new Promise<void>((resolve) => sshProxy.listen(socket, resolve));
  await chmod(socket, 0o660);
  const { server, port } = await path.startBackend(() => {}); // says nothing
  server.on('upgrade', (_, tunnel: Socket) => {
    tunnels.push(tunnel);
    tunnel.on('error', () => {});
    // For the key below (RFC 6455 section 1.3).
    tunnel.write(
      'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n',
    );
    tunnel.on('data', (data) => tunnel.write(data));
  });
  await path.registerInstance('inst-app', port);
  await path.setRoutes({ host: HOST, instances: [{ guid: 'inst-app', index: 0 }] });
});
after(async () => {
  for (const tunnel of tunnels) tunnel.destroy();
  sshProxy.close();
  await path.close();
});

test('an app that says nothing for as long as it may is told of with 504 by the router, whatever stands before and behind it', async () => {
  const { status, body } = await ask({ host: HOST, port: path.httpsPort, ca: path.pki.routerRoot.cert });
  assert.deepEqual([status, body], [504, '504 Gateway Timeout: Registered endpoint did not answer in time.\n']);
});

test('a websocket may be silent for longer than an answer, and ends after its own time', async () => {
  const to = { host: '127.0.0.1', port: path.httpsPort, servername: HOST, ca: path.pki.routerRoot.cert };
  const socket = connect(to, () =>
    socket.write(
      `GET / HTTP/1.1\r\nHost: ${HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n`,
    ),
  );
  socket.on('error', () => {});
  let received = '';
  socket.on('data', (data) => {
    received += data.toString('latin1');
  });
  await path.until('the tunnel', () => received.includes('\r\n\r\n'));
  assert.match(received, /^HTTP\/1\.1 101 /);
  await delay(2_000 * IDLE.answer);
  socket.write('still there');
  await path.until('what was said after the silence', () => received.endsWith('still there'));
  await path.until('its end', () => socket.closed, 60_000);
});
