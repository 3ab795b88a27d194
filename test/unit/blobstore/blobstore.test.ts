import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { type Blobstore, createBlobstore } from '../../../src/blobstore/blobstore.ts';
import type { BlobKind } from '../../../src/contracts/blobs.ts';
import { CupolaError } from '../../../src/kit/errors.ts';
import { Logger } from '../../../src/kit/log.ts';

const directory = mkdtempSync(join(tmpdir(), 'cupola-blobs-'));
const log = new Logger('test', {}, () => {});
const MAX = 1_000_000;
let now = new Date('2030-01-01T00:00:00Z');
let server: Server;
let store: Blobstore;

before(async () => {
  server = createServer((request, response) => store.handler(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  store = createBlobstore({
    directory,
    baseUrl,
    signingKey: randomBytes(32),
    log,
    reserve: () => 0,
    maxUploadBytes: MAX,
    clock: () => now,
  });
  await store.start();
});
after(async () => {
  await store.close();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  rmSync(directory, { recursive: true, force: true });
});

const put = (key: string, text: string, kind: BlobKind = 'droplets') =>
  store.blobs.put(kind, key, Readable.from([Buffer.from(text)]), MAX);
const hasCode = (code: string) => (error: unknown) => error instanceof CupolaError && error.code === code;

test('BLB-01: what is put is there, with its digest and size, also for a new process', async () => {
  const content = randomBytes(300_000);
  const info = await store.blobs.put(
    'packages',
    'one',
    Readable.from([content.subarray(0, 7), content.subarray(7)]),
    MAX,
  );
  const wanted = { sha256: createHash('sha256').update(content).digest('hex'), bytes: content.length };
  assert.deepEqual(info, wanted);
  const later = createBlobstore({
    directory,
    baseUrl: 'http://x',
    signingKey: randomBytes(32),
    log,
    reserve: () => 0,
  });
  assert.deepEqual(await later.blobs.stat('packages', 'one'), wanted);
  const opened = await later.blobs.open('packages', 'one');
  assert.equal(opened?.bytes, content.length);
  assert.deepEqual(await buffer(opened!.body), content);
});

test('kinds are apart; what is deleted is gone', async () => {
  await put('two', 'droplet');
  assert.equal(await store.blobs.open('packages', 'two'), null);
  await store.blobs.delete('droplets', 'two');
  assert.equal(await store.blobs.open('droplets', 'two'), null);
  assert.equal(await store.blobs.stat('droplets', 'two'), null);
  await store.blobs.delete('droplets', 'two');
});

test('a blob past the limit is refused and leaves nothing behind', async () => {
  const endless = Readable.from(
    (async function* () {
      for (;;) yield randomBytes(65_536);
    })(),
  );
  await assert.rejects(store.blobs.put('droplets', 'huge', endless, 200_000), hasCode('blob_too_large'));
  assert.equal(endless.destroyed, true);
  assert.equal(await store.blobs.stat('droplets', 'huge'), null);
  assert.deepEqual(readdirSync(join(directory, 'incoming')), []);
});

test('a body that breaks off is never seen', async () => {
  const broken = Readable.from(
    (async function* () {
      yield Buffer.from('half');
      throw new Error('gone');
    })(),
  );
  await assert.rejects(store.blobs.put('droplets', 'broken', broken, MAX), /gone/);
  assert.equal(await store.blobs.open('droplets', 'broken'), null);
  assert.deepEqual(readdirSync(join(directory, 'incoming')), []);
});

test('a start clears away what a crash left half written', async () => {
  writeFileSync(join(directory, 'incoming', 'left'), 'half');
  await store.start();
  assert.deepEqual(readdirSync(join(directory, 'incoming')), []);
});

test('a replaced blob is new as a whole, and who reads the old one reads on', async () => {
  await put('replaced', 'the old content');
  const reading = await store.blobs.open('droplets', 'replaced');
  const info = await put('replaced', 'new');
  assert.equal((await buffer(reading!.body)).toString(), 'the old content');
  const opened = await store.blobs.open('droplets', 'replaced');
  assert.equal((await buffer(opened!.body)).toString(), 'new');
  assert.deepEqual(await store.blobs.stat('droplets', 'replaced'), info);
  assert.equal(readdirSync(join(directory, 'droplets', 're')).length, 2, 'the old content is gone');
});

test('of writers at the same time one wins, whole, and the others leave nothing', async () => {
  const infos = await Promise.all(
    Array.from({ length: 8 }, (_, index) => put('contended', `${index}`.repeat(index + 1))),
  );
  const left = await store.blobs.stat('droplets', 'contended');
  assert.ok(infos.some((info) => info.sha256 === left?.sha256));
  const content = await buffer((await store.blobs.open('droplets', 'contended'))!.body);
  assert.equal(createHash('sha256').update(content).digest('hex'), left?.sha256);
  assert.equal(readdirSync(join(directory, 'droplets', 'co')).length, 2);
});

test('a key is no path', async () => {
  for (const key of ['..', '../droplets/one', 'a/b', '', 'a.info', '%2e%2e', 'a\0b', '\n', 'x'.repeat(300)]) {
    await assert.rejects(put(key, 'x'), hasCode('bad_blob_key'), key);
    await assert.rejects(store.blobs.open('packages', key), hasCode('bad_blob_key'), key);
    await assert.rejects(store.blobs.delete('packages', key), hasCode('bad_blob_key'), key);
    assert.throws(() => store.blobs.signedUrl('GET', 'packages', key, 60), hasCode('bad_blob_key'), key);
  }
  const body = Readable.from([Buffer.from('x')]);
  await assert.rejects(store.blobs.put('packages', '..', body, MAX), hasCode('bad_blob_key'));
  assert.equal(body.destroyed, true, 'its body is read by nobody');
});

test('a signed URL reads and writes', async () => {
  const url = store.blobs.signedUrl('PUT', 'droplets', 'signed', 60);
  const written = await fetch(url, { method: 'PUT', body: 'droplet bits' });
  assert.equal(written.status, 201);
  assert.deepEqual(await written.json(), await store.blobs.stat('droplets', 'signed'));
  const read = await fetch(store.blobs.signedUrl('GET', 'droplets', 'signed', 60));
  assert.equal(read.status, 200);
  assert.equal(read.headers.get('content-length'), '12');
  assert.equal(await read.text(), 'droplet bits');
  assert.equal((await fetch(store.blobs.signedUrl('GET', 'droplets', 'absent', 60))).status, 404);
});

test('SECURITY 29: a URL serves its verb, its object and its time, and nothing else', async () => {
  await put('mine', 'mine');
  await put('yours', 'yours');
  const url = store.blobs.signedUrl('GET', 'droplets', 'mine', 60);
  assert.equal((await fetch(url)).status, 200);
  const longer = (text: string) => text.replace(/expires=(\d+)/, (_, at) => `expires=${Number(at) + 1}`);
  const forged: [string, RequestInit?][] = [
    [url, { method: 'PUT', body: 'x' }],
    [url, { method: 'DELETE' }],
    [url, { method: 'POST', body: 'x' }],
    [url.replace('mine', 'yours')],
    [url.replace('droplets', 'packages')],
    [longer(url)],
    [url.replace(/signature=.*/, '')],
    [url.replace(/.$/, (last) => (last === 'A' ? 'E' : 'A'))],
    [`${url}&expires=9999999999`],
    [url.replace('mine', '..%2fdroplets%2fmine')],
  ];
  for (const [address, init] of forged) {
    assert.equal((await fetch(address, init)).status, 403, `${init?.method ?? 'GET'} ${address}`);
  }
  assert.equal(await (await fetch(url)).text(), 'mine');
  now = new Date(now.getTime() + 61_000);
  assert.equal((await fetch(url)).status, 403, 'expired');
  const write = store.blobs.signedUrl('PUT', 'droplets', 'mine', 60);
  assert.equal((await fetch(write)).status, 403, 'a writer cannot read');
});

test('the key of another process signs nothing', async () => {
  const other = createBlobstore({
    directory,
    baseUrl: store.blobs.signedUrl('GET', 'droplets', 'mine', 60).split('/blobs')[0]!,
    signingKey: randomBytes(32),
    log,
    reserve: () => 0,
    clock: () => now,
  });
  assert.equal((await fetch(other.blobs.signedUrl('GET', 'droplets', 'mine', 60))).status, 403);
});

test('an upload past the limit is refused, announced or not', async () => {
  const url = store.blobs.signedUrl('PUT', 'droplets', 'flood', 60);
  const status = async (body: ReadableStream) => {
    try {
      return (await fetch(url, { method: 'PUT', body, duplex: 'half' })).status;
    } catch {
      return 'cut off'; // the server may close while the client still sends
    }
  };
  const announced = request(url, { method: 'PUT', headers: { 'content-length': MAX + 1 } });
  announced.flushHeaders(); // and no body: the refusal may not wait for it
  const [answer] = (await once(announced, 'response')) as [IncomingMessage];
  assert.equal(answer.statusCode, 413);
  announced.destroy();
  const stream = new ReadableStream({ pull: (controller) => controller.enqueue(randomBytes(65_536)) });
  assert.ok([413, 'cut off'].includes(await status(stream)));
  assert.equal(await store.blobs.stat('droplets', 'flood'), null);
  assert.equal(existsSync(join(directory, 'droplets', 'fl')), false);
});
