import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { MOST_HANDSHAKES } from '../../../src/kit/handshakes.ts';
import { serveHosts } from '../../../src/kit/http.ts';
import { Logger } from '../../../src/kit/log.ts';
import { serveRpc } from '../../../src/kit/rpc.ts';
import { type Identity, tlsOptions } from '../../../src/kit/tls.ts';
import { identityUnder, testRoot } from '../../support/identities.ts';

const SILENT = 3 * MOST_HANDSHAKES;

/** A server of node:https or node:http2. */
interface Counted {
  address(): unknown;
  getConnections(callback: (error: Error | null, count: number) => void): unknown;
  on(event: 'connection', listener: () => void): unknown;
  on(event: 'secureConnection', listener: (socket: TLSSocket) => void): unknown;
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 20_000; !(await condition()); await pause(10)) assert.ok(Date.now() < deadline);
}

async function check(start: (log: Logger) => Promise<{ server: Counted; close(): Promise<void> }>, peer: Identity) {
  const told: string[] = [];
  const { server, close } = await start(new Logger('test', {}, (line) => void told.push(line)));
  const silent: Socket[] = [];
  let came = 0;
  const known: TLSSocket[] = [];
  server.on('connection', () => {
    came += 1;
  });
  server.on('secureConnection', (socket) => void known.push(socket));
  const held = () => {
    const { promise, resolve } = Promise.withResolvers<number>();
    server.getConnections((_error, count) => resolve(count));
    return promise;
  };
  const bound = server.address();
  assert.ok(typeof bound === 'object' && bound !== null && 'port' in bound && typeof bound.port === 'number');
  const { port } = bound;
  try {
    for (let index = 0; index < SILENT; index++) {
      const socket = connect(port, '127.0.0.1').on('error', () => {});
      silent.push(socket);
      await new Promise((resolve) => socket.once('connect', resolve));
    }
    await until(async () => came === SILENT && (await held()) <= MOST_HANDSHAKES);
    const secure = connectTls({ host: '127.0.0.1', port, servername: 'control', ...tlsOptions(peer) });
    await new Promise((resolve, reject) => secure.once('secureConnect', resolve).once('error', reject));
    // The peer is somebody now, and others that come and are silent displace it no more.
    for (let index = 0; index < SILENT; index++) silent.push(connect(port, '127.0.0.1').on('error', () => {}));
    await until(async () => came === 2 * SILENT + 1 && (await held()) <= MOST_HANDSHAKES + 1);
    assert.deepEqual(
      known.map(({ destroyed }) => destroyed),
      [false],
    );
    secure.destroy();
    assert.ok(told.length > 0 && told.length < 5, `${told.length} lines for ${SILENT} failures`);
  } finally {
    for (const socket of silent) socket.destroy();
    await close();
  }
}

test('SECURITY 25: connections without a certificate hold a bounded part of a listener, which serves its peers meanwhile', async () => {
  const root = await testRoot();
  const common = { host: '127.0.0.1', port: 0, identity: await identityUnder(root, 'control') };
  const peer = await identityUnder(root, 'router');
  await check((log) => serveHosts({ ...common, hosts: new Map(), log }), peer);
  await check((log) => serveRpc({ ...common, peers: {}, routes: () => {}, log }), peer);
});
