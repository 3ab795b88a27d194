import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { checkPlace, openArchive, PACKAGE_LIMITS } from '../../../src/cloud-controller/packages/archive.ts';
import { ArchiveRefusedError } from '../../../src/cloud-controller/packages/archive-refusal.ts';
import { packageContent, readResources } from '../../../src/cloud-controller/packages/assemble.ts';
import { PathTree } from '../../../src/cloud-controller/packages/path-tree.ts';
import { Shares } from '../../../src/kit/shares.ts';
import { TestBlobs } from '../../support/blobs.ts';
import { processorTimeOf } from '../../support/processor-time.ts';
import { longestStall } from '../../support/stalls.ts';
import { type DirectoryItem, directoryOf, zipOf } from '../../support/zips.ts';

const directory = mkdtempSync(join(tmpdir(), 'cupola-zip-'));
after(() => rmSync(directory, { recursive: true, force: true }));

let count = 0;
function written(items: Iterable<DirectoryItem>): { path: string; bytes: number } {
  const data = directoryOf(items);
  count += 1;
  const path = join(directory, `${count}.zip`);
  writeFileSync(path, data);
  return { path, bytes: data.length };
}

const many = (number: number, item: (index: number) => Omit<DirectoryItem, 'name'>): DirectoryItem[] =>
  Array.from({ length: number }, (_, index) => ({ name: Buffer.from(`f${index}`), ...item(index) }));

const comment = Buffer.alloc(65_000, 'A');
/** Of the smallest there are: each becomes an object of its own where it is read. */
const extra = Buffer.alloc(64_000);
for (let at = 0; at < extra.length; at += 4) extra.writeUInt16LE(0x9999, at);

/** Opens the archive where the heap has room for 96 MiB, and gives the number of its entries. */
function openInLittleRoom(file: { path: string; bytes: number }): Promise<number> {
  const archive = new URL('../../../src/cloud-controller/packages/archive.ts', import.meta.url);
  const source = `
    const { parentPort, workerData } = require('node:worker_threads');
    import(workerData.archive).then(async ({ openArchive, PACKAGE_LIMITS }) => {
      const open = await openArchive(workerData, PACKAGE_LIMITS, { sender: 'test' });
      parentPort.postMessage(open.entries.length);
      open.close();
    });`;
  const worker = new Worker(source, {
    eval: true,
    workerData: { archive: archive.href, ...file },
    resourceLimits: { maxOldGenerationSizeMb: 96 },
  });
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  worker.once('message', resolve);
  worker.once('error', reject);
  return promise.finally(() => worker.terminate());
}

test('SECURITY 24: comments and extra fields of a zip are counted, and nothing of them is kept', async () => {
  const fields = { comments: () => ({ comment }), 'extra fields': () => ({ extra }) };
  for (const [what, item] of Object.entries(fields)) {
    const inside = written(many(350, item));
    assert.equal(await openInLittleRoom(inside), 350, what);
    const beyond = written(many(500, item));
    await assert.rejects(
      openArchive(beyond, PACKAGE_LIMITS, { sender: 'test' }),
      (error) => error instanceof ArchiveRefusedError && /directory of the archive is larger/.test(error.message),
      what,
    );
  }
});

test('SECURITY 24: a name of a zip is refused by its length before it is decoded, and where it is no UTF-8', async () => {
  const refuses = async (item: DirectoryItem, reason: RegExp) => {
    const file = written([item]);
    await assert.rejects(
      openArchive(file, PACKAGE_LIMITS, { sender: 'test' }),
      (error) => error instanceof ArchiveRefusedError && reason.test(error.message),
    );
  };
  await refuses({ name: Buffer.alloc(60_000, 'a/') }, /is too long/);
  await refuses({ name: Buffer.from([0x61, 0xff, 0x62]), flags: 0x800 }, /is no UTF-8/);
  const open = async (item: DirectoryItem): Promise<string | undefined> => {
    const file = written([item]);
    const archive = await openArchive(file, PACKAGE_LIMITS, { sender: 'test' });
    archive.close();
    return archive.entries[0]?.path;
  };
  assert.equal(await open({ name: Buffer.from('größe/é.txt'), flags: 0x800 }), 'größe/é.txt');
  assert.equal(await open({ name: Buffer.from([0x67, 0x72, 0x94, 0xe1, 0x65]) }), 'größe');
});

test('paths as deep as they may be take time by their length, and hold nobody up', async () => {
  // 99 parts of some 40 bytes, none of which two paths share.
  const deep = (index: number): string =>
    Array.from({ length: 99 }, (_, part) => `${index}-${part}`.padEnd(40, 'a')).join('/');
  const file = written(Array.from({ length: 1500 }, (_, index) => ({ name: Buffer.from(deep(index)) })));
  let stall = 0;
  const ms = await processorTimeOf(async () => {
    stall = await longestStall(async () => (await openArchive(file, PACKAGE_LIMITS, { sender: 'test' })).close());
  });
  assert.ok(stall < 500, `nobody had a turn for ${Math.round(stall)} ms`);
  assert.ok(ms < 3000, `${Math.round(ms)} ms`);
  const list = Array.from({ length: 800 }, (_, index) => ({
    checksum: { value: 'a'.repeat(40) },
    size_in_bytes: 1,
    path: deep(index),
  }));
  const resources = await readResources(JSON.stringify(list));
  const matched = new Map([['a'.repeat(40), { guid: 'file', bytes: 1 } as never]]);
  stall = await longestStall(async () => {
    const content = { blobs: new TestBlobs(), upload: null, resources, matched, unpackedBytes: 1024 ** 3 };
    (await packageContent(content)).body.destroy();
  });
  assert.ok(stall < 500, `nobody had a turn for ${Math.round(stall)} ms`);
});

test('SECURITY 24: a path has one meaning, whatever comes first, and the directories that paths imply are counted', () => {
  const told = (...items: [string, 'file' | 'directory' | 'symlink'][]): string => {
    const paths = new PathTree();
    try {
      for (const [path, type] of items) checkPlace(paths, { path, type }, 'archive');
      return 'taken';
    } catch (error) {
      assert.ok(error instanceof ArchiveRefusedError);
      return error.message;
    }
  };
  assert.equal(told(['a/b', 'file'], ['a', 'directory'], ['a', 'directory'], ['a/c/d', 'file']), 'taken');
  assert.match(told(['a/b', 'file'], ['a', 'file']), /'a' is in the archive twice/);
  assert.match(told(['a', 'symlink'], ['a/b', 'file']), /'a\/b' lies below/);
  assert.match(told(['a', 'directory'], ['a', 'file']), /twice/);
  assert.match(told(['a', 'file'], ['a', 'directory']), /twice/);
  const deep = Array.from({ length: 4000 }, (_, index): [string, 'file'] => [`${index}/${'a/'.repeat(98)}f`, 'file']);
  assert.match(told(...deep), /too many directories/);
});

test('SECURITY 25: of an archive that is open, what is kept of it takes room, however large it is', async () => {
  const comments = written(many(350, () => ({ comment })));
  const large = { path: join(directory, 'large.zip'), bytes: 0 };
  const data = await zipOf([{ path: 'one', body: randomBytes(25 * 1024 ** 2) }]);
  large.bytes = data.length;
  writeFileSync(large.path, data);
  for (const file of [comments, large]) {
    const archives = Array.from({ length: 12 }, (_, index) =>
      openArchive(file, PACKAGE_LIMITS, { sender: `sender ${index % 4}` }),
    );
    const all = await Promise.race([Promise.all(archives), setTimeout(60_000, [], { ref: false })]);
    assert.equal(all.length, 12, 'some wait for room');
    for (const archive of all) archive.close();
  }
});

test('SECURITY 25: what an archive is not opened for is let go, and takes no room', async () => {
  const file = written(many(1000, () => ({})));
  const keeps = ({ path }: { path: string }) => path === 'f7';
  const archive = await openArchive(file, PACKAGE_LIMITS, { sender: 'test', keeps });
  archive.close();
  assert.deepEqual(
    archive.entries.map(({ path }) => path),
    ['f7'],
  );
});

test('SECURITY 25: a small archive waits for no large one, whoever has those open', { timeout: 60_000 }, async () => {
  const above = `${'a'.repeat(250)}/`.repeat(14);
  const file = written(
    Array.from({ length: 5500 }, (_, index) => ({
      name: Buffer.from(`${above}${String(index).padStart(250, '0')}`),
      flags: 0x800,
    })),
  );
  const small = written(many(10, () => ({})));
  const open = await Promise.all(
    Array.from({ length: 7 }, (_, index) => openArchive(file, PACKAGE_LIMITS, { sender: `sender ${index}` })),
  );
  let entered = false;
  const next = openArchive(file, PACKAGE_LIMITS, { sender: 'late' });
  next.then(
    () => {
      entered = true;
    },
    () => {},
  );
  (await openArchive(small, PACKAGE_LIMITS, { sender: 'sender 0' })).close();
  assert.equal(entered, false);
  for (const archive of open) archive.close();
  (await next).close();
});

test('room that is taken by others is waited for in order, and comes back once', async () => {
  const shares = new Shares(10, 10);
  const order: string[] = [];
  const take = async (owner: string, amount: number) => {
    const share = await shares.take(owner, amount);
    order.push(owner);
    return share;
  };
  const first = await take('first', 8);
  const large = take('large', 50);
  const small = take('small', 1);
  await setImmediate();
  assert.deepEqual(order, ['first']);
  first.shrink(5);
  first.release();
  first.release();
  (await large).release();
  (await small).release();
  assert.deepEqual(order, ['first', 'large', 'small']);
  (await take('last', 10)).release();
});

test('SECURITY 25: who asks for room again and again waits for themselves, and others take turns', {
  timeout: 10_000,
}, async () => {
  const shares = new Shares(10, 6);
  const order: string[] = [];
  const take = async (owner: string, amount: number) => {
    const share = await shares.take(owner, amount);
    order.push(owner);
    return share;
  };
  const held = await take('many', 6);
  const more = [take('many', 6), take('many', 6)];
  // They have their part, so that the room that is left is for others.
  (await take('one', 4)).release();
  const other = take('other', 6);
  held.release();
  (await more[0])?.release();
  (await other).release();
  (await more[1])?.release();
  assert.deepEqual(order, ['many', 'one', 'many', 'other', 'many']);
});
