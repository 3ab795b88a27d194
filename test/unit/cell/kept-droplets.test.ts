import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs, { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { KeptDroplets } from '../../../src/cell/rep/kept-droplets.ts';
import { Logger } from '../../../src/kit/log.ts';
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
  const kept = new KeptDroplets(join(directory, '..', 'file', 'kept'), new Logger('kept', {}, (l) => lines.push(l)));
  await kept.open();
  assert.equal(kept.has(await keep(kept, Buffer.alloc(40, 1))), false);
  assert.match(lines.join(), /"level":"warn"/);
});
