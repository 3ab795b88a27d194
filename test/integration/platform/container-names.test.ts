import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { renderDnsConfig } from '../../../src/platform/host/names.ts';
import { ensureSettings } from '../../../src/platform/settings/ensure.ts';

const SKIP = process.getuid?.() === 0 ? false : 'needs root';
const HERE = '127.0.54.1';
const UPSTREAM = '127.0.54.2';

/** A query for an A record, RFC 1035. */
function query(id: number, name: string): Buffer {
  const labels = name.split('.').map((label) => Buffer.from([label.length, ...Buffer.from(label)]));
  return Buffer.concat([
    Buffer.from([id >> 8, id & 255, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
    ...labels,
    Buffer.from([0, 0, 1, 0, 1]),
  ]);
}

/** That query's answer: 192.0.2.1. */
function answer(question: Buffer): Buffer {
  const head = Buffer.from(question.subarray(0, question.indexOf(0, 12) + 5));
  head.writeUInt16BE(0x8180, 2);
  head.writeUInt16BE(1, 6);
  head.writeUInt16BE(0, 10);
  return Buffer.concat([head, Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1])]);
}

async function bound(address: string, port: number): Promise<Socket> {
  const socket = createSocket({ type: 'udp4', recvBufferSize: 8_000_000 });
  const ready = Promise.withResolvers<void>();
  socket.once('error', ready.reject);
  socket.bind(port, address, ready.resolve);
  await ready.promise;
  return socket;
}

describe('the name server of containers', { skip: SKIP }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'cupola-dns-'));
  let dnsmasq: ChildProcess;
  let upstream: Socket;
  let waiting = 0;
  before(async () => {
    upstream = await bound(UPSTREAM, 53);
    upstream.on('message', (question, from) => {
      if (question.includes('nobody')) waiting += 1;
      else upstream.send(answer(question), from.port, from.address);
    });
    const settings = await ensureSettings({ dataDirectory: join(directory, 'data') });
    const config = join(directory, 'dnsmasq.conf');
    writeFileSync(config, renderDnsConfig({ ...settings, gateway: HERE }, 'containers', [UPSTREAM]));
    dnsmasq = spawn('dnsmasq', ['--keep-in-foreground', `--conf-file=${config}`, '--user=root'], { stdio: 'ignore' });
  });
  after(async () => {
    dnsmasq.kill('SIGKILL');
    upstream.close();
    rmSync(directory, { recursive: true });
  });

  /** The response code to a query for this name; null where none comes in time. */
  async function ask(name: string, timeoutMs: number): Promise<number | null> {
    const socket = await bound('127.0.0.1', 0);
    const said = Promise.withResolvers<number | null>();
    const timer = setTimeout(() => said.resolve(null), timeoutMs);
    socket.on('message', (message) => said.resolve(message[3]! & 15));
    socket.send(query(7, name), 53, HERE);
    return said.promise.finally(() => {
      clearTimeout(timer);
      socket.close();
    });
  }

  test('SECURITY 32: names nobody answers, as many as one container may ask at once, keep no other from being found', async (context) => {
    for (let tries = 0; (await ask('first.example', 200)) !== 0; tries += 1) assert.ok(tries < 50, 'it answers');
    const flood = await bound('127.0.0.1', 0);
    context.after(() => flood.close());
    const refusals: number[] = [];
    flood.on('message', (message) => refusals.push(message[3]! & 15));
    const asked = 1500;
    for (let id = 0; id < asked; id += 1) {
      flood.send(query(id, `n${id}.nobody.example`), 53, HERE);
      if (id % 20 === 19) await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
    assert.ok(waiting > 1000, `${waiting} wait for an answer`); // a datagram may be lost
    assert.equal(await ask('second.example', 2000), 0);
    assert.deepEqual(refusals, []);
  });
});
