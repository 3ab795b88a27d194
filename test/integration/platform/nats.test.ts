import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect as connectTcp, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { connect } from 'node:tls';
import { connectBus, SUBJECTS } from '../../../src/kit/bus.ts';
import type { KeyAndCertificate } from '../../../src/kit/pki.ts';
import { type Identity, tlsOptions } from '../../../src/kit/tls.ts';
import { renderNatsConfig } from '../../../src/platform/engines/nats.ts';
import { busPeers } from '../../../src/platform/roles/cut.ts';
import { identityUnder, testRoot } from '../../support/identities.ts';
import { silentLog } from '../../support/postgresql.ts';
import { testSettings } from '../../support/settings.ts';

const PORT = 24_055;
/** With what kernel buffers take before the connection ends. */
const ENOUGH_BYTES = 12 * 1024 ** 2;
const CONNECT = 'CONNECT {"verbose":true,"tls_required":true}\r\nPING\r\n';

const directory = mkdtempSync('/tmp/cupola-nats-');
let root: KeyAndCertificate;
let server: ChildProcess;

before(async () => {
  root = await testRoot();
  const own = await identityUnder(root, 'localhost');
  for (const [name, pem] of Object.entries(own)) writeFileSync(join(directory, `${name}.pem`), pem);
  writeFileSync(join(directory, 'nats.conf'), renderNatsConfig(PORT, directory, busPeers(testSettings())));
  server = spawn('nats-server', ['-c', join(directory, 'nats.conf')], { stdio: 'ignore' });
  for (let tries = 0; !(await listens()); tries++) {
    assert.ok(tries < 200, 'NATS starts');
    await new Promise((wake) => setTimeout(wake, 50));
  }
});
after(async () => {
  const gone = new Promise((resolve) => server.once('exit', resolve));
  server.kill();
  await gone;
  rmSync(directory, { recursive: true });
});

function listens(): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connectTcp(PORT, '127.0.0.1');
  socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
  promise.finally(() => socket.destroy());
  return promise;
}

/** What the server says to a client's text, and what it takes of the bytes without end that follow. */
async function talk(socket: Socket, endless: boolean): Promise<{ said: string; taken: number }> {
  let said = '';
  const ended = Promise.withResolvers<void>();
  const chunk = Buffer.alloc(65_536, 'a');
  const pump = (): void => {
    while (endless && !socket.destroyed && socket.write(chunk));
  };
  const timer = setTimeout(() => socket.destroy(), 15_000);
  socket.setEncoding('latin1').on('data', (text) => {
    said += text;
    if (said.includes('PONG')) socket.destroy();
  });
  socket.on('drain', pump).on('error', () => {});
  socket.on('close', () => ended.resolve());
  if (socket.closed) ended.resolve();
  socket.write(CONNECT);
  pump();
  await ended.promise;
  clearTimeout(timer);
  return { said, taken: socket.bytesWritten - socket.writableLength };
}

/** TLS begins once the server has named itself. */
async function secured(peer: Partial<Identity>): Promise<Socket> {
  const plain = connectTcp(PORT, '127.0.0.1');
  await new Promise((resolve) => plain.once('data', resolve));
  return connect({ ...tlsOptions({ cert: '', key: '', ca: root.cert, ...peer }), socket: plain }).on('error', () => {});
}

test('TLS-07, SECURITY 22: the bus is open to control, and to no other component', async () => {
  const admitted = await talk(await secured(await identityUnder(root, 'control')), false);
  assert.match(admitted.said, /\+OK[\s\S]*PONG/);
  for (const name of ['cell', 'router', 'supervisor', 'nats', 'Control', 'control.example']) {
    const { said } = await talk(await secured(await identityUnder(root, name)), false);
    assert.match(said, /Authorization Violation/, name);
    assert.doesNotMatch(said, /PONG/, name);
  }
});

test('TLS-07, SECURITY 22, 25: without TLS, or without a certificate of the platform, nothing is taken', async () => {
  const foreign = { ...(await identityUnder(await testRoot('Another root'), 'control')), ca: root.cert };
  for (const open of [() => connectTcp(PORT, '127.0.0.1'), () => secured({}), () => secured(foreign)]) {
    const { said, taken } = await talk(await open(), true);
    assert.doesNotMatch(said, /PONG|\+OK/);
    assert.ok(taken < ENOUGH_BYTES, `${taken} bytes`);
  }
});

test('control hears over the bus what control says', async () => {
  const bus = await connectBus(`tls://127.0.0.1:${PORT}`, await identityUnder(root, 'control'), silentLog);
  const heard = Promise.withResolvers<Record<string, unknown>>();
  bus.subscribe(SUBJECTS.diego, heard.resolve);
  bus.publish(SUBJECTS.diego, { processGuid: 'one' });
  assert.deepEqual(await heard.promise, { processGuid: 'one' });
  await bus.close();
});
