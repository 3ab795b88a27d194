import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import fs, { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import type { Container, Layer } from '../../../src/cell/garden/garden.ts';
import { DropletLayers } from '../../../src/cell/rep/droplets.ts';
import { type KeptBounds, KeptDroplets } from '../../../src/cell/rep/kept-droplets.ts';
import { uploadFrom } from '../../../src/cell/staging/transfers.ts';
import { BlobSchema } from '../../../src/contracts/gen/diego_pb.js';
import type { DiskSizes } from '../../../src/kit/disk-sizes.ts';
import { CupolaError } from '../../../src/kit/errors.ts';
import { Logger } from '../../../src/kit/log.ts';
import { tarOf } from '../../../src/kit/tar.ts';
import { TestBlobs } from '../../support/buildpacks.ts';
import { eventually } from '../../support/fake-control.ts';
import { fakeGarden } from '../../support/fake-garden.ts';

let directory: string;
let lines: string[];
let open: KeptDroplets[];

beforeEach(() => {
  directory = join(mkdtempSync('/tmp/kept-droplets-'), 'kept');
  lines = [];
  open = [];
});
afterEach(async () => {
  await Promise.all(open.map((kept) => kept.close()));
  rmSync(join(directory, '..'), { recursive: true });
});

/** A disk with room enough, which says so at once. */
const largeDisk = async (): Promise<DiskSizes> => ({ total: 2 ** 40, free: 2 ** 40 });

async function opened(bounds: Partial<KeptBounds> = {}, ask = largeDisk): Promise<KeptDroplets> {
  const kept = new KeptDroplets(directory, new Logger('kept', {}, (line) => lines.push(line)), bounds, ask);
  open.push(kept);
  await kept.open();
  return kept;
}

const files = () => readdirSync(directory);
const bytesOnDisk = () => files().reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
const infoOf = (content: Buffer) => ({
  sha256: createHash('sha256').update(content).digest('hex'),
  bytes: content.length,
});

/** A copy of so many bytes. */
async function begun(kept: KeptDroplets, bytes: number) {
  const copy = kept.copy();
  await copy.expect(bytes);
  return copy;
}

/** Its digest. */
async function keep(kept: KeptDroplets, content: Buffer): Promise<string> {
  await using copy = await begun(kept, content.length);
  copy.write(content);
  await copy.keep(infoOf(content));
  return infoOf(content).sha256;
}

/** What staging does with a droplet of this content; the blobs have it by the URL "droplet". */
async function staged(kept: KeptDroplets, content: Buffer, { blobs = new TestBlobs(), signal = neverAborted() } = {}) {
  const parts = Array.from({ length: Math.ceil(content.length / 65_536) }, (_, index) =>
    content.subarray(index * 65_536, (index + 1) * 65_536),
  );
  const tar = tarOf({ name: '../../chosen', size: content.length, owner: 0 }, Readable.from(parts));
  const container = { streamOut: async () => tar } as Partial<Container> as Container;
  await using copy = kept.copy();
  const blob = create(BlobSchema, { url: 'droplet' });
  const info = await uploadFrom(container, '/droplet.tgz', { blobs, blob, maximum: 2 ** 30, signal, copy });
  await copy.keep(info, signal);
  return { info, blobs };
}

const neverAborted = () => new AbortController().signal;

/** So that the disk keeps up with each part. */
function atThePaceOfANetwork(after = async () => {}): TestBlobs {
  const blobs = new TestBlobs();
  blobs.upload = async ({ url }, body) => {
    const parts: Buffer[] = [];
    for await (const part of body) {
      parts.push(part);
      for (let turns = 0; turns < 10; turns++) await turn();
    }
    blobs.content.set(url, Buffer.concat(parts));
    await after();
  };
  return blobs;
}

test('what is uploaded is kept under the digest of what was streamed, in a file that nobody else names or reads', async () => {
  const kept = await opened();
  const content = Buffer.alloc(3_000_001, 'some droplet');
  const { info, blobs } = await staged(kept, content);
  assert.deepEqual(info, infoOf(content));
  assert.ok(content.equals(await blobs.bytes('droplet')));
  assert.ok(content.equals(await buffer(kept.read(info.sha256)!)));
  assert.equal(files().length, 1);
  assert.match(files()[0]!, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  assert.equal(statSync(directory).mode & 0o777, 0o700);
  assert.equal(statSync(join(directory, files()[0]!)).mode & 0o777, 0o600);
  assert.equal(kept.read('0'.repeat(64)), null);
});

test('what is not all of what was hashed is not kept', async () => {
  const kept = await opened();
  for (const [announced, hashed] of [
    [40, 41],
    [41, 41],
    [41, 40],
  ] as const) {
    await using copy = await begun(kept, announced);
    copy.write(Buffer.alloc(40));
    await copy.keep(infoOf(Buffer.alloc(hashed)));
    assert.equal(kept.has(infoOf(Buffer.alloc(hashed)).sha256), false);
  }
  assert.deepEqual(files(), []);
});

test('it is written in large parts', async (t) => {
  const kept = await opened();
  const writes = [t.mock.method(fs, 'write'), t.mock.method(fs, 'writev')];
  await staged(kept, Buffer.alloc(4 * 2 ** 20), { blobs: atThePaceOfANetwork() });
  const calls = writes.reduce((sum, { mock }) => sum + mock.callCount(), 0);
  assert.ok(calls > 0 && calls <= 9, `${calls} writes of 4 MiB`);
});

test('one that is longer than one may be is uploaded and not kept', async (t) => {
  const kept = await opened({ eachBytes: 100_000 });
  const { mock } = t.mock.method(fs, 'open');
  const { info, blobs } = await staged(kept, Buffer.alloc(100_001));
  assert.equal((await blobs.bytes('droplet')).length, 100_001);
  assert.equal(kept.has(info.sha256), false);
  assert.equal(mock.callCount(), 0, 'it is not even begun');
  const copy = await begun(kept, 100_000);
  copy.write(Buffer.alloc(100_000));
  copy.write(Buffer.alloc(1)); // more than was said
  await copy.keep(info);
  assert.match(lines.join(), /longer than was said/);
  assert.equal(kept.has(info.sha256), false);
  await eventually('nothing is left', () => files().length === 0);
});

test('the oldest go first where all together would be more than may be', async () => {
  const kept = await opened({ totalBytes: 100 });
  const [first, second] = [await keep(kept, Buffer.alloc(40, 1)), await keep(kept, Buffer.alloc(40, 2))];
  const third = await keep(kept, Buffer.alloc(50, 3));
  assert.deepEqual(
    [first, second, third].map((sha256) => kept.has(sha256)),
    [false, true, true],
  );
  await eventually('its file is gone', () => bytesOnDisk() === 90);
});

test('what is announced counts from the start: several at once stay within the bound', async () => {
  const kept = await opened({ totalBytes: 100 });
  const old = await keep(kept, Buffer.alloc(30, 1));
  const first = await begun(kept, 90);
  assert.equal(kept.has(old), false, 'a kept one gives way');
  const second = await begun(kept, 11);
  assert.match(lines.join(), /others take the room/);
  for (const copy of [first, second]) copy.write(Buffer.alloc(11, 2));
  await second.keep(infoOf(Buffer.alloc(11, 2)));
  assert.equal(kept.has(infoOf(Buffer.alloc(11, 2)).sha256), false);
  first.write(Buffer.alloc(79, 2));
  await first.keep(infoOf(Buffer.alloc(90, 2)));
  assert.equal(kept.has(infoOf(Buffer.alloc(90, 2)).sha256), true);
  assert.equal(bytesOnDisk(), 90);
});

test('a file counts until it is gone and nobody reads it', async (t) => {
  const kept = await opened({ totalBytes: 100 });
  const reading = kept.read(await keep(kept, Buffer.alloc(60, 1)))!;
  await once(reading, 'open');
  assert.equal(await keep(kept, Buffer.alloc(41, 2)).then((sha256) => kept.has(sha256)), false, 'it is being read');
  assert.deepEqual(files(), []);
  await buffer(reading);
  const removal = Promise.withResolvers<void>();
  const { rm } = fs.promises;
  t.mock.method(fs.promises, 'rm', (...args: Parameters<typeof rm>) => removal.promise.then(() => rm(...args)));
  syncBuiltinESMExports();
  t.after(() => {
    t.mock.restoreAll();
    syncBuiltinESMExports();
  });
  const old = await keep(kept, Buffer.alloc(60, 3));
  assert.equal(kept.has(old), true, 'it was read');
  let began = false;
  const next = begun(kept, 41).finally(() => {
    began = true;
  });
  for (let turns = 0; turns < 10; turns++) await turn();
  assert.deepEqual([kept.has(old), began], [false, false], 'it is being removed');
  removal.resolve();
  await using copy = await next;
  copy.write(Buffer.alloc(41, 4));
  await copy.keep(infoOf(Buffer.alloc(41, 4)));
  assert.equal(kept.has(infoOf(Buffer.alloc(41, 4)).sha256), true);
  assert.equal(bytesOnDisk(), 41);
});

/** A disk of 1000 bytes of which 50 are the reserve; what lies in the directory takes of what is free. */
const diskWith = (free: number) => async () => ({ total: 1000, free: free - bytesOnDisk() });

test('the reserve of the disk is left: all that was announced counts', async () => {
  const kept = await opened({}, diskWith(150));
  const first = await begun(kept, 60);
  first.write(Buffer.alloc(10, 1));
  const second = await begun(kept, 41);
  second.write(Buffer.alloc(41, 2));
  await second.keep(infoOf(Buffer.alloc(41, 2)));
  assert.equal(kept.has(infoOf(Buffer.alloc(41, 2)).sha256), false);
  assert.match(lines.join(), /no room to spare/);
  first.write(Buffer.alloc(50, 1));
  await first.keep(infoOf(Buffer.alloc(60, 1)));
  const third = await keep(kept, Buffer.alloc(40, 3));
  assert.deepEqual([kept.has(infoOf(Buffer.alloc(60, 1)).sha256), kept.has(third)], [true, true]);
  assert.equal(bytesOnDisk(), 100);
});

test('where the disk is short of room all kept ones go first', async () => {
  const kept = await opened({}, diskWith(150));
  const old = [await keep(kept, Buffer.alloc(30, 1)), await keep(kept, Buffer.alloc(30, 2))];
  const next = await keep(kept, Buffer.alloc(90, 3));
  assert.deepEqual(
    [...old, next].map((sha256) => kept.has(sha256)),
    [false, false, true],
  );
  const none = await keep(kept, Buffer.alloc(101, 4));
  assert.deepEqual([kept.has(next), kept.has(none)], [false, false]);
  assert.deepEqual(files(), []);
});

test('a disk that does not answer holds up no staging for longer than is bound, nor one that is cancelled', async () => {
  const kept = await opened({ patienceMs: 20 }, () => new Promise(() => {}));
  const { info } = await staged(kept, Buffer.alloc(100));
  assert.equal(kept.has(info.sha256), false);
  assert.match(lines.join(), /does not answer in time/);
  const patient = await opened({ patienceMs: 2 ** 30 }, () => new Promise(() => {}));
  const copy = patient.copy();
  await copy.expect(100, AbortSignal.abort());
  await copy[Symbol.asyncDispose]();
  assert.match(lines.join(), /its staging was cancelled/);
});

test('room that is found too late is given back', async () => {
  const disk = Promise.withResolvers<void>();
  const kept = await opened({ totalBytes: 100 }, () => disk.promise.then(largeDisk));
  const copy = kept.copy();
  await copy.expect(60, AbortSignal.abort());
  disk.resolve();
  for (let turns = 0; turns < 10; turns++) await turn();
  const next = await keep(kept, Buffer.alloc(60, 1));
  assert.equal(kept.has(next), true);
  assert.equal(files().length, 1);
});

for (const [what, patienceMs, said] of [
  ['ends after its time', 20, /slower than its upload/],
  ['ends when it is cancelled', 2 ** 30, /was cancelled/],
] as const) {
  test(`a staging whose copy the disk does not write ${what}, and the copy goes`, async (t) => {
    const kept = await opened({ patienceMs });
    const disk = Promise.withResolvers<void>();
    const { write } = fs;
    t.mock.method(fs, 'write', (...args: Parameters<typeof write>) => void disk.promise.then(() => write(...args)));
    const copy = await begun(kept, 100);
    copy.write(Buffer.alloc(100));
    const cancelling = new AbortController();
    const keeping = copy.keep(infoOf(Buffer.alloc(100)), cancelling.signal);
    if (patienceMs > 20) cancelling.abort();
    await keeping;
    assert.match(lines.join(), said);
    assert.equal(kept.has(infoOf(Buffer.alloc(100)).sha256), false);
    disk.resolve();
    await eventually('it leaves nothing', () => files().length === 0);
  });
}

test('a copy holds up its staging for that long in all, not at each step', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let now = 0;
  t.mock.method(performance, 'now', () => now);
  const answer = Promise.withResolvers<void>();
  const kept = await opened({ patienceMs: 2000 }, () => answer.promise.then(largeDisk));
  const disk = Promise.withResolvers<void>();
  const { write } = fs;
  t.mock.method(fs, 'write', (...args: Parameters<typeof write>) => void disk.promise.then(() => write(...args)));
  const beginning = begun(kept, 100);
  now = 1500;
  answer.resolve();
  const copy = await beginning;
  copy.write(Buffer.alloc(100));
  const keeping = copy.keep(infoOf(Buffer.alloc(100)));
  t.mock.timers.tick(500);
  await turn();
  assert.match(lines.join(), /slower than its upload/);
  disk.resolve();
  await keeping;
});

test('a staging waits for the removal of its copy no longer either; it is removed once it can be', async (t) => {
  const kept = await opened({ patienceMs: 20 });
  const disk = Promise.withResolvers<void>();
  const { open: opening } = fs;
  t.mock.method(fs, 'open', (...args: Parameters<typeof opening>) => void disk.promise.then(() => opening(...args)));
  const copy = await begun(kept, 100);
  await copy[Symbol.asyncDispose]();
  disk.resolve();
  await eventually('it leaves nothing', () => files().length === 0);
});

test('it goes after its time, and its room is free again', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const kept = await opened({ totalBytes: 100, keptMs: 60_000 });
  const first = await keep(kept, Buffer.alloc(60, 1));
  t.mock.timers.tick(59_999);
  assert.equal(kept.has(first), true);
  t.mock.timers.tick(1);
  assert.equal(kept.has(first), false);
  t.mock.timers.reset();
  await eventually('its file is gone', () => files().length === 0);
  const next = [await keep(kept, Buffer.alloc(50, 2)), await keep(kept, Buffer.alloc(50, 3))];
  assert.ok(next.every((sha256) => kept.has(sha256)));
});

test('the same droplet staged twice is kept once', async () => {
  const kept = await opened({ totalBytes: 100 });
  const sha256 = await keep(kept, Buffer.alloc(40, 1));
  await keep(kept, Buffer.alloc(40, 1));
  await eventually('one file is left', () => files().length === 1);
  assert.ok(Buffer.alloc(40, 1).equals(await buffer(kept.read(sha256)!)));
});

for (const [what, fail] of Object.entries({
  'a directory that is gone': () => rmSync(directory, { recursive: true }),
  'a disk that cannot be asked': (_t: unknown, disk: { ask: typeof largeDisk }) => {
    disk.ask = () => Promise.reject(new Error('no answer'));
  },
  'a full disk': (t: { mock: typeof test.mock }) => {
    const full = Object.assign(new Error('no space left'), { code: 'ENOSPC' });
    t.mock.method(fs, 'writev', (...args: unknown[]) => {
      const done = args.at(-1) as (error: Error) => void;
      process.nextTick(done, full);
    });
    // Parts come before the failure is told, which is when the file is closed.
    const { close } = fs;
    t.mock.method(fs, 'close', async (...args: Parameters<typeof close>) => {
      for (let turns = 0; turns < 200; turns++) await turn();
      close(...args);
    });
  },
})) {
  test(`${what} fails no upload: the droplet is not kept, and the log says so`, async (t) => {
    const disk = { ask: largeDisk };
    const kept = await opened({}, () => disk.ask());
    fail(t, disk);
    const { info, blobs } = await staged(kept, Buffer.alloc(3_000_000, 5), { blobs: atThePaceOfANetwork() });
    assert.ok(Buffer.alloc(3_000_000, 5).equals(await blobs.bytes('droplet')));
    assert.equal(kept.has(info.sha256), false);
    assert.match(lines.join(), /"level":"warn".*could not be kept/);
    assert.doesNotMatch(lines.join(), /slower/);
    assert.ok(!existsSync(directory) || files().length === 0);
  });
}

test('a disk that is slower than the upload holds it up in no way, and takes no more memory than may wait', async (t) => {
  const kept = await opened({ waitingBytes: 1_000_000 });
  const disk = Promise.withResolvers<void>();
  const { open: opening } = fs;
  t.mock.method(fs, 'open', (...args: Parameters<typeof opening>) => void disk.promise.then(() => opening(...args)));
  const copy = await begun(kept, 2_000_000);
  for (let part = 0; part < 16; part++) copy.write(Buffer.alloc(65_536));
  assert.match(lines.join(), /slower than its upload/);
  disk.resolve();
  await eventually('it leaves nothing', () => files().length === 0);
});

test('one that comes in parts of a few bytes, which take more memory than they count, is given up', async () => {
  const kept = await opened();
  const content = Buffer.alloc(5000);
  await using copy = await begun(kept, content.length);
  for (let at = 0; at < content.length; at += 1) copy.write(content.subarray(at, at + 1));
  await copy.keep(infoOf(content));
  assert.equal(kept.has(infoOf(content).sha256), false);
  assert.ok(lines.some((line) => line.includes('parts too small')));
});

test('all copies together take no more memory than may wait', async (t) => {
  const kept = await opened({ waitingBytes: 1_000_000, allWaitingBytes: 1_500_000 });
  const disk = Promise.withResolvers<void>();
  const { open: opening } = fs;
  t.mock.method(fs, 'open', (...args: Parameters<typeof opening>) => void disk.promise.then(() => opening(...args)));
  const copies = [await begun(kept, 900_000), await begun(kept, 900_000)];
  copies[0]!.write(Buffer.alloc(900_000));
  copies[1]!.write(Buffer.alloc(500_000));
  assert.doesNotMatch(lines.join(), /slower/);
  copies[1]!.write(Buffer.alloc(200_000));
  assert.match(lines.join(), /slower than its upload/);
  disk.resolve();
  await copies[0]!.keep(infoOf(Buffer.alloc(900_000)));
  assert.equal(kept.has(infoOf(Buffer.alloc(900_000)).sha256), true);
});

test('a staging that fails, or is cancelled within the upload, leaves no file', async () => {
  const kept = await opened();
  const cancelling = new AbortController();
  const blobs = atThePaceOfANetwork(async () => {
    await eventually('there is a file', () => bytesOnDisk() > 0);
    cancelling.abort();
    cancelling.signal.throwIfAborted();
  });
  await assert.rejects(staged(kept, Buffer.alloc(4_000_000), { blobs, signal: cancelling.signal }), /abort/i);
  assert.deepEqual(files(), []);
  blobs.upload = async () => Promise.reject(new Error('not stored'));
  await assert.rejects(staged(kept, Buffer.alloc(4_000_000), { blobs }), /not stored/);
  assert.deepEqual(files(), []);
});

test('as the cell starts, what was left goes; as it closes, everything does, and nothing is kept any more', async () => {
  mkdirSync(directory);
  writeFileSync(join(directory, 'left'), 'of a process that was killed');
  const kept = await opened();
  assert.deepEqual(files(), []);
  const sha256 = await keep(kept, Buffer.alloc(40, 1));
  await using copy = await begun(kept, 600_000);
  copy.write(Buffer.alloc(600_000));
  await kept.close();
  assert.deepEqual(files(), []);
  assert.equal(kept.has(sha256), false);
  await copy.keep(infoOf(Buffer.alloc(600_000)));
  await keep(kept, Buffer.alloc(40, 1));
  assert.deepEqual(files(), []);
});

test('a directory that cannot be made keeps no cell from starting', async () => {
  writeFileSync(join(directory, '..', 'file'), '');
  const kept = new KeptDroplets(join(directory, '..', 'file', 'kept'), new Logger('kept', {}, (l) => lines.push(l)));
  await kept.open();
  assert.equal(kept.has(await keep(kept, Buffer.alloc(40, 1))), false);
  assert.match(lines.join(), /"level":"warn"/);
});

/** Layers of a cell whose blobstore has this droplet. */
function layersOf(
  kept: KeptDroplets,
  content: Buffer,
  make?: (source: { open(): Promise<Readable> }) => Promise<Layer>,
) {
  const { garden, pretend } = fakeGarden(directory);
  if (make) garden.ensureLayer = (_key, source) => make('open' in source ? source : assert.fail());
  const fetched: string[] = [];
  const blobs = {
    fetch: async ({ url }: { url: string }) => {
      fetched.push(url);
      return Readable.from([content]);
    },
    upload: async () => {},
  };
  const { sha256 } = infoOf(content);
  const told: number[] = [];
  const layers = new DropletLayers(garden, blobs, kept);
  const ensure = () => layers.ensure(create(BlobSchema, { url: 'droplet', sha256 }), 'debian12', (n) => told.push(n));
  return { ensure, fetched, told, layer: () => pretend.layers.get(sha256), pretend, sha256 };
}

test('a kept droplet becomes its layer without being fetched, which nobody is told, and its file goes', async () => {
  const kept = await opened();
  const content = Buffer.alloc(2_000_000, 'droplet');
  const { ensure, fetched, told, layer, pretend, sha256 } = layersOf(kept, content);
  await keep(kept, content);
  assert.deepEqual(await ensure(), { key: sha256 });
  assert.ok(content.equals(layer()!));
  assert.deepEqual({ fetched, told, kept: kept.has(sha256) }, { fetched: [], told: [], kept: false });
  await eventually('its file is gone', () => files().length === 0);
  pretend.layers.clear();
  await ensure();
  assert.deepEqual(
    { fetched, told },
    { fetched: ['droplet'], told: [2_000_000] },
    'from then on the layer is all there is',
  );
});

test('the file of a droplet whose layer is there goes too', async () => {
  const kept = await opened();
  const content = Buffer.alloc(100);
  const { ensure, fetched, sha256 } = layersOf(kept, content);
  await ensure();
  await keep(kept, content);
  await ensure();
  assert.deepEqual({ fetched, kept: kept.has(sha256) }, { fetched: ['droplet'], kept: false });
});

for (const [what, damage] of Object.entries({
  damaged: (path: string) => writeFileSync(path, Buffer.alloc(2_000_000, 'drOplet')),
  cut: (path: string) => writeFileSync(path, Buffer.alloc(1_000, 'droplet')),
  gone: (path: string) => rmSync(path),
})) {
  test(`a kept file that is ${what} is dropped, and the droplet fetched`, async () => {
    const kept = await opened();
    const content = Buffer.alloc(2_000_000, 'droplet');
    const { ensure, fetched, told, layer, sha256 } = layersOf(kept, content);
    await keep(kept, content);
    damage(join(directory, files()[0]!));
    const both = await Promise.all([ensure(), ensure()]);
    assert.deepEqual(both, [{ key: sha256 }, { key: sha256 }]);
    assert.ok(content.equals(layer()!));
    assert.ok(fetched.length > 0 && told.includes(2_000_000));
    assert.equal(kept.has(sha256), false);
    assert.match(lines.join(), /"level":"warn".*fetched after all/);
    await eventually('its file is gone', () => files().length === 0);
  });
}

for (const [what, error, truth] of [
  ['is no archive', new CupolaError('archive_refused', 'ended with 2'), 'whole'],
  ['finds no container', new CupolaError('containers_exhausted', 'no more'), 'whole'],
  ['finds no directory for its layer', Object.assign(new Error('none'), { code: 'ENOENT' }), 'whole'],
  ['was damaged so that it is no archive any more', new CupolaError('archive_refused', 'ended with 2'), 'damaged'],
] as const) {
  test(`a kept droplet that ${what} is ${truth === 'whole' ? 'not fetched for that' : 'fetched'}`, async () => {
    const kept = await opened();
    const content = Buffer.alloc(2_000_000, 'droplet');
    const { ensure, fetched, pretend, sha256 } = layersOf(kept, content, async (source) => {
      (await source.open()).destroy();
      throw error;
    });
    await keep(kept, content);
    if (truth === 'damaged') {
      writeFileSync(join(directory, files()[0]!), Buffer.alloc(2_000_000, 'drOplet'));
    }
    await assert.rejects(ensure(), error);
    assert.deepEqual(fetched, truth === 'damaged' ? ['droplet'] : []);
    assert.deepEqual([pretend.layers.size, kept.has(sha256)], [0, false]);
    await eventually('its file is gone', () => files().length === 0);
  });
}
