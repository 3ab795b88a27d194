import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, test } from 'node:test';
import { DiskStore } from '../../../src/blobstore/disk.ts';
import { DiskRoom } from '../../../src/blobstore/disk-room.ts';
import type { DiskSizes } from '../../../src/kit/disk-sizes.ts';
import { CupolaError } from '../../../src/kit/errors.ts';

const directory = mkdtempSync(join(tmpdir(), 'cupola-room-'));
after(() => rmSync(directory, { recursive: true, force: true }));

const isFull = (error: unknown) => error instanceof CupolaError && error.code === 'blob_disk_full';
const MEBIBYTE = 1024 ** 2;

test('what blobs leave free is never touched, though several write at once and the file system is asked now and then', async () => {
  let asked = 0;
  const disk: DiskSizes = { total: 1000 * MEBIBYTE, free: 100 * MEBIBYTE };
  const ask = async () => {
    asked += 1;
    return { ...disk };
  };
  const room = new DiskRoom(directory, { reserve: () => 40 * MEBIBYTE, ask, clock: () => 0 });
  let written = 0;
  const writer = async () => {
    for (;;) {
      await room.write(MEBIBYTE, async () => {
        await new Promise((resolve) => setImmediate(resolve));
        disk.free -= MEBIBYTE;
        written += 1;
      });
    }
  };
  const ends = await Promise.allSettled([writer(), writer(), writer()]);
  assert.ok(ends.every((end) => end.status === 'rejected' && isFull(end.reason)));
  assert.ok(written > 50 && disk.free >= 40 * MEBIBYTE, `${written} MiB were written, ${disk.free} bytes are free`);
  assert.ok(asked < 10, `asked ${asked} times`);
  await assert.rejects(room.hold(MEBIBYTE, ['one']), isFull);
});

test('what is left free may be a share of the file system', async () => {
  const ask = async () => ({ total: 1000, free: 100 });
  const room = new DiskRoom(directory, { reserve: ({ total }) => total / 20, ask });
  (await room.hold(50, ['one'])).release();
  await assert.rejects(room.hold(51, ['one']), isFull);
});

const roomOf = (free: number): DiskRoom =>
  new DiskRoom(directory, { reserve: () => 0, ask: async () => ({ total: free, free }), clock: () => 0 });

test('what is held for one writer is nobody else’s, and is there again once it is released', async () => {
  const room = roomOf(100);
  const [first, second] = await Promise.all([room.hold(20, ['first']), room.hold(20, ['second'])]);
  await assert.rejects(room.hold(61, ['third']), isFull);
  await assert.rejects(
    room.write(61, async () => {}),
    isFull,
  );
  // A writer may take more than is held for it, where there is more; what others hold is not.
  await first.write(60, async () => {});
  await assert.rejects(
    first.write(21, async () => {}),
    isFull,
  );
  second.release();
  second.release();
  await first.write(40, async () => {});
  await assert.rejects(room.hold(1, ['third']), isFull);
});

test('SECURITY 30: what one owner asks for is held from others up to a quarter of what is free, and refuses nobody else', async () => {
  const room = roomOf(1000);
  const writers = await Promise.all([450, 450].map((bytes) => room.hold(bytes, ['mallory'])));
  const stranger = await room.hold(700, ['alice']);
  await stranger.write(700, async () => {});
  await room.checkFree();
  // The quarter is there for whom it is held for, to the end.
  await writers[0]?.write(250, async () => {});
  await assert.rejects(room.hold(60, ['bob']), isFull);
});

test('SECURITY 30: who asks for much never counts on the same room twice, under whichever of their names', async () => {
  const room = roomOf(100);
  await room.hold(60, ['actor x', 'organization a']);
  for (const owners of [
    ['actor x', 'organization b'],
    ['actor y', 'organization a'],
  ]) {
    await assert.rejects(room.hold(41, owners), isFull);
    (await room.hold(40, owners)).release();
  }
  (await room.hold(75, ['actor y', 'organization b'])).release();
});

test('what is held lies on no disk: only what is written lets nothing more in', async () => {
  const room = roomOf(100);
  const held = await room.hold(100, ['one']);
  await room.checkFree();
  await held.write(100, async () => {});
  await room.checkFree();
  await assert.rejects(
    new DiskRoom(directory, { reserve: () => 1, ask: async () => ({ total: 100, free: 0 }) }).checkFree(),
    isFull,
  );
});

test('what a writer holds and did not write is free again, however its writing ended', async () => {
  const room = roomOf(100);
  const held = await room.hold(100, ['one']);
  await assert.rejects(
    held.write(30, () => Promise.reject(new Error('torn'))),
    /torn/,
  );
  held.release();
  (await room.hold(70, ['one'])).release();
  await assert.rejects(room.hold(71, ['one']), isFull);
});

test('a temporary file is there while it is used, counts as it is written, and is gone however its use ends', async () => {
  const room = roomOf(100);
  const store = new DiskStore(directory, room);
  await store.start();
  const held = await room.hold(60, ['one']);
  await store.scratch(held, async (scratch) => {
    const { bytes } = await scratch.fill(Readable.from([Buffer.alloc(60)]), 60);
    assert.deepEqual([bytes, statSync(scratch.path).size], [60, 60]);
    await assert.rejects(room.hold(41, ['one']), isFull);
  });
  const over = store.scratch(held, (scratch) => scratch.fill(Readable.from([Buffer.alloc(60)]), 60));
  await assert.rejects(over, isFull);
  const long = store.scratch(held, (scratch) => scratch.fill(Readable.from([Buffer.alloc(11)]), 10));
  await assert.rejects(long, (error) => error instanceof CupolaError && error.code === 'blob_too_large');
  assert.deepEqual(readdirSync(join(directory, 'incoming')), []);
});

test('a blob for which there is no room leaves nothing behind', async () => {
  const store = new DiskStore(directory, new DiskRoom(directory, { reserve: () => Number.MAX_SAFE_INTEGER }));
  await store.start();
  await assert.rejects(store.put('packages', 'one', Readable.from([Buffer.from('x')]), 100), isFull);
  assert.equal(await store.stat('packages', 'one'), null);
  assert.deepEqual(readdirSync(join(directory, 'incoming')), []);
});

test('what a crash left between content and entry is removed; what has an entry, or is young, stays and is listed', async () => {
  const store = new DiskStore(directory, new DiskRoom(directory, { reserve: () => 0 }));
  await store.start();
  await store.put('droplets', 'whole', Readable.from([Buffer.from('content')]), 100);
  const parent = join(directory, 'droplets', 'wh');
  const [content = ''] = readdirSync(parent).filter((name) => !name.endsWith('.info'));
  for (const name of ['whole.stray', 'where.stray', 'young.stray']) writeFileSync(join(parent, name), 'x');
  for (const name of [content, 'whole.stray', 'where.stray']) utimesSync(join(parent, name), 1, 1);
  assert.equal(await store.removeStrays(new Date(1_000_000)), 2);
  assert.deepEqual(readdirSync(parent).sort(), [content, 'whole.info', 'young.stray'].sort());
  const listed: [string, number][] = [];
  for await (const { key, bytes } of store.list('droplets')) listed.push([key, bytes]);
  assert.deepEqual(listed, [['whole', 7]]);
});
