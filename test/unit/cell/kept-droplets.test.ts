import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs, { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { DiskRoom } from '../../../src/blobstore/disk-room.ts';
import { KeptDroplets } from '../../../src/cell/rep/kept-droplets.ts';
import { Logger } from '../../../src/kit/log.ts';
import { TestBlobs } from '../../support/buildpacks.ts';
import { eventually } from '../../support/fake-control.ts';
import {
  begun,
  bytesOnDisk,
  directory,
  eachTestHasKeptDroplets,
  files,
  infoOf,
  keep,
  largeDisk,
  lines,
  opened,
  RESERVE,
  staged,
} from '../../support/kept-droplets.ts';

eachTestHasKeptDroplets();

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

/** Nothing is removed before it, or at all where it rejects. */
function removalsWaitFor(t: TestContext, turn: Promise<void>): void {
  const { rm } = fs.promises;
  t.mock.method(fs.promises, 'rm', (...args: Parameters<typeof rm>) => turn.then(() => rm(...args)));
  syncBuiltinESMExports();
  t.after(() => {
    t.mock.restoreAll();
    syncBuiltinESMExports();
  });
}

test('a file counts until it is gone and nobody reads it', async (t) => {
  const kept = await opened({ totalBytes: 100 });
  const first = await keep(kept, Buffer.alloc(60, 1));
  const reading = kept.read(first)!;
  await once(reading, 'open');
  kept.drop(first);
  assert.equal(await keep(kept, Buffer.alloc(41, 2)).then((sha256) => kept.has(sha256)), false, 'it is being read');
  await eventually('its name is gone', () => files().length === 0);
  await buffer(reading);
  const removal = Promise.withResolvers<void>();
  removalsWaitFor(t, removal.promise);
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

/** A disk with so many bytes free above the reserve and what is left to uploads; what lies in the directory takes of them. */
const diskWith = (free: number) => async () => ({ total: 1000, free: RESERVE + SPARE + free - bytesOnDisk() });
const SPARE = 100;

test('the reserve of the disk, and room for an upload, are left: all that was announced counts, and its blob', async () => {
  const kept = await opened({ spareBytes: SPARE }, diskWith(160));
  const first = await begun(kept, 60);
  first.write(Buffer.alloc(10, 1));
  const second = await begun(kept, 21);
  second.write(Buffer.alloc(21, 2));
  await second.keep(infoOf(Buffer.alloc(21, 2)));
  assert.equal(kept.has(infoOf(Buffer.alloc(21, 2)).sha256), false);
  assert.match(lines.join(), /no room to spare/);
  first.write(Buffer.alloc(50, 1));
  await first.keep(infoOf(Buffer.alloc(60, 1)));
  const third = await keep(kept, Buffer.alloc(50, 3));
  assert.deepEqual([kept.has(infoOf(Buffer.alloc(60, 1)).sha256), kept.has(third)], [true, true]);
  assert.equal(bytesOnDisk(), 110);
});

test('where the disk is short of room the oldest go until it is enough, and none where all would not be enough', async () => {
  const kept = await opened({ spareBytes: SPARE }, diskWith(150));
  const old = [await keep(kept, Buffer.alloc(30, 1)), await keep(kept, Buffer.alloc(30, 2))];
  const has = () => old.map((sha256) => kept.has(sha256));
  const none = await keep(kept, Buffer.alloc(76, 3));
  assert.deepEqual([...has(), kept.has(none)], [true, true, false]);
  const next = await keep(kept, Buffer.alloc(60, 4));
  assert.deepEqual([...has(), kept.has(next)], [false, true, true]);
});

test('the same holds where the oldest are dropped for the bound of all', async () => {
  const kept = await opened({ totalBytes: 100 });
  const old = await keep(kept, Buffer.alloc(30, 1));
  await using copy = await begun(kept, 50);
  const none = await keep(kept, Buffer.alloc(51, 2));
  assert.deepEqual([kept.has(old), kept.has(none)], [true, false]);
  assert.match(lines.join(), /others take the room/);
  copy.drop();
});

test('an upload that has room without its copy has it beside one', async () => {
  const content = Buffer.alloc(1_000_000, 1);
  // For one of the two alone, and for nothing else.
  const disk = { free: RESERVE + 1_500_000 };
  const ask = async () => ({ total: 2 ** 40, free: disk.free - bytesOnDisk() });
  const kept = await opened({ spareBytes: 0 }, ask);
  let time = 0;
  const room = new DiskRoom(directory, { reserve: () => RESERVE, ask, clock: () => (time += 3600_000) });
  const blobs = new TestBlobs();
  blobs.upload = async ({ url }, body) => {
    const held = await room.hold(content.length, ['org']);
    const parts: Buffer[] = [];
    for await (const part of body) {
      await held.write(part.length, async () => void parts.push(part));
      disk.free -= part.length;
    }
    held.release();
    blobs.content.set(url, Buffer.concat(parts));
  };
  const { info } = await staged(kept, content, { blobs });
  assert.ok(content.equals(await blobs.bytes('droplet')));
  assert.equal(kept.has(info.sha256), false);
});

test('where others take the room the oldest go until it is there again, and then those that are being written', async () => {
  const disk = { ask: diskWith(300) };
  const kept = await opened({ spareBytes: SPARE, lookMs: 1 }, () => disk.ask());
  const old = [await keep(kept, Buffer.alloc(30, 1)), await keep(kept, Buffer.alloc(30, 2))];
  await using copy = await begun(kept, 40);
  disk.ask = diskWith(59);
  await eventually('the oldest is gone', () => !kept.has(old[0]!));
  assert.equal(kept.has(old[1]!), true, 'the next is not in the way');
  disk.ask = diskWith(-1);
  await eventually('all are gone', () => files().length === 0);
  assert.match(lines.join(), /no room to spare/);
  copy.write(Buffer.alloc(40));
  await copy.keep(infoOf(Buffer.alloc(40)));
  assert.deepEqual(files(), []);
});

test('one that cannot be removed is not taken for room that is coming', async (t) => {
  const disk = { ask: diskWith(300) };
  const kept = await opened({ spareBytes: SPARE, lookMs: 1 }, () => disk.ask());
  const stuck = await keep(kept, Buffer.alloc(30, 1));
  const next = await keep(kept, Buffer.alloc(30, 2));
  const never = Promise.reject(new Error('cannot be removed'));
  never.catch(() => {});
  removalsWaitFor(t, never);
  kept.drop(stuck);
  await eventually('it is said', () => lines.join().includes('was not removed'));
  disk.ask = diskWith(59);
  await eventually('the next goes instead', () => !kept.has(next));
});

test('where the disk says nothing of its room any more, all go', async () => {
  const disk = { ask: largeDisk };
  const kept = await opened({ lookMs: 1 }, () => disk.ask());
  const sha256 = await keep(kept, Buffer.alloc(30, 1));
  disk.ask = () => Promise.reject(new Error('no answer'));
  await eventually('it is gone', () => !kept.has(sha256));
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
  const log = new Logger('kept', {}, (line) => lines.push(line));
  const kept = new KeptDroplets({ directory: join(directory, '..', 'file', 'kept'), reserve: () => 0, log });
  await kept.open();
  assert.equal(kept.has(await keep(kept, Buffer.alloc(40, 1))), false);
  assert.match(lines.join(), /"level":"warn"/);
});
