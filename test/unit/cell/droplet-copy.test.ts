import assert from 'node:assert/strict';
import fs, { existsSync, rmSync } from 'node:fs';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { eventually } from '../../support/fake-control.ts';
import {
  atThePaceOfANetwork,
  begun,
  bytesOnDisk,
  directory,
  eachTestHasKeptDroplets,
  files,
  heldUp,
  infoOf,
  largeDisk,
  lines,
  opened,
  staged,
} from '../../support/kept-droplets.ts';

eachTestHasKeptDroplets();

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

for (const [what, patienceMs, said] of [
  ['ends after its time', 20, /slower than its upload/],
  ['ends when it is cancelled', 2 ** 30, /was cancelled/],
] as const) {
  test(`a staging whose copy the disk does not write ${what}, and the copy goes`, async (t) => {
    const kept = await opened({ patienceMs });
    const goOn = heldUp(t, 'write');
    const copy = await begun(kept, 100);
    copy.write(Buffer.alloc(100));
    const cancelling = new AbortController();
    const keeping = copy.keep(infoOf(Buffer.alloc(100)), cancelling.signal);
    if (patienceMs > 20) cancelling.abort();
    await keeping;
    assert.match(lines.join(), said);
    assert.equal(kept.has(infoOf(Buffer.alloc(100)).sha256), false);
    goOn();
    await eventually('it leaves nothing', () => files().length === 0);
  });
}

test('a copy holds up its staging for that long in all, not at each step', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let now = 0;
  t.mock.method(performance, 'now', () => now);
  const answer = Promise.withResolvers<void>();
  const kept = await opened({ patienceMs: 2000 }, () => answer.promise.then(largeDisk));
  const goOn = heldUp(t, 'write');
  const beginning = begun(kept, 100);
  now = 1500;
  answer.resolve();
  const copy = await beginning;
  copy.write(Buffer.alloc(100));
  const keeping = copy.keep(infoOf(Buffer.alloc(100)));
  t.mock.timers.tick(500);
  await turn();
  assert.match(lines.join(), /slower than its upload/);
  goOn();
  await keeping;
});

test('a staging waits for the removal of its copy no longer either; it is removed once it can be', async (t) => {
  const kept = await opened({ patienceMs: 20 });
  const goOn = heldUp(t, 'open');
  const copy = await begun(kept, 100);
  await copy[Symbol.asyncDispose]();
  goOn();
  await eventually('it leaves nothing', () => files().length === 0);
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
  const goOn = heldUp(t, 'open');
  const copy = await begun(kept, 2_000_000);
  for (let part = 0; part < 16; part++) copy.write(Buffer.alloc(65_536));
  assert.match(lines.join(), /slower than its upload/);
  goOn();
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
  const goOn = heldUp(t, 'open');
  const copies = [await begun(kept, 900_000), await begun(kept, 900_000)];
  copies[0]!.write(Buffer.alloc(900_000));
  copies[1]!.write(Buffer.alloc(500_000));
  assert.doesNotMatch(lines.join(), /slower/);
  copies[1]!.write(Buffer.alloc(200_000));
  assert.match(lines.join(), /slower than its upload/);
  goOn();
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
