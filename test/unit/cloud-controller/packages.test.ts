import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { after, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { openArchive, PACKAGE_LIMITS, safePath, staysInside } from '../../../src/cloud-controller/packages/archive.ts';
import { ArchiveRefusedError } from '../../../src/cloud-controller/packages/archive-refusal.ts';
import { packageContent, readResources } from '../../../src/cloud-controller/packages/assemble.ts';
import { eventually } from '../../support/apps.ts';
import { TestBlobs } from '../../support/blobs.ts';
import { type ZipItem, zipOf } from '../../support/zips.ts';

const directory = mkdtempSync(join(tmpdir(), 'cupola-zip-'));
after(() => rmSync(directory, { recursive: true, force: true }));

let count = 0;
function written(data: Buffer): { path: string; bytes: number } {
  count += 1;
  const path = join(directory, `${count}.zip`);
  writeFileSync(path, data);
  return { path, bytes: data.length };
}

async function check(items: readonly ZipItem[], limits = PACKAGE_LIMITS) {
  const file = written(await zipOf(items));
  return openArchive(file, limits, { sender: 'test' });
}

const refuses = (items: readonly ZipItem[], reason: RegExp, limits = PACKAGE_LIMITS) =>
  assert.rejects(
    check(items, limits),
    (error) => error instanceof ArchiveRefusedError && reason.test(`${error.message} ${error.cause ?? ''}`),
  );

test('an ordinary app passes with its modes and links', async () => {
  const archive = await check([
    { path: 'bin/' },
    { path: 'bin/run', body: '#!/bin/sh', mode: 0o104755 },
    { path: 'lib/a/b.js', body: '1' },
    { path: 'current', body: 'lib/a', mode: 0o120777 },
    { path: 'lib/a/up', body: '../../bin/run', mode: 0o120777 },
  ]);
  assert.deepEqual(
    archive.entries.map(({ path, type, mode }) => [path, type, mode.toString(8)]),
    [
      ['bin', 'directory', '775'],
      ['bin/run', 'file', '755'],
      ['lib/a/b.js', 'file', '644'],
      ['current', 'symlink', '777'],
      ['lib/a/up', 'symlink', '777'],
    ],
  );
  archive.close();
});

test('a directory marked as a regular file, as the cf CLI packs it, is a directory; one that holds bytes is refused', async () => {
  const archive = await check([
    { path: 'public/', mode: 0o100755 },
    { path: 'public/index.html', body: 'x' },
  ]);
  assert.deepEqual(archive.entries[0]?.type, 'directory');
  archive.close();
  await refuses([{ path: 'file', body: 'x', mode: 0o040755 }], /not what its name says/);
});

test('SECURITY 24: paths that climb or are absolute are refused', async () => {
  for (const path of ['../x', 'a/../../x', '/etc/passwd', 'C:/x', '..\\x', 'a/..']) {
    await refuses([{ path, body: 'x' }], /damaged|relative|leaves/);
    // The library that reads archives refuses most of them too: ours does by itself.
    assert.throws(() => safePath(path), ArchiveRefusedError, path);
  }
});

test('SECURITY 24: links out, and files below links, are refused', async () => {
  for (const target of ['/etc/passwd', '../x', 'a/../../x', 'd/..', '']) {
    await refuses([{ path: 'link', body: target, mode: 0o120777 }], /links to a place|broken link/);
  }
  await refuses(
    [
      { path: 'd', body: 'a', mode: 0o120777 },
      { path: 'd/x', body: '1' },
    ],
    /below a file or a link/,
  );
  await refuses(
    [
      { path: 'd', body: 'a' },
      { path: 'd/x', body: '1' },
    ],
    /below a file or a link/,
  );
  assert.equal(staysInside('a/b/c', '../../x'), true);
  assert.equal(staysInside('a/b/c', '../../../x'), false);
  // d is a link to the root, so d/.. would be outside although its letters stay inside.
  assert.equal(staysInside('a/b/c/l', 'd/../x'), false);
});

test('SECURITY 24: devices, pipes and sockets are refused', async () => {
  for (const mode of [0o020666, 0o060666, 0o010666, 0o140666]) {
    await refuses([{ path: 'node', body: '', mode }], /device, a pipe or a socket/);
  }
});

test('SECURITY 24: a path that comes twice is refused', async () => {
  await refuses(
    [
      { path: 'same', body: '1' },
      { path: 'same', body: '2' },
    ],
    /twice/,
  );
  await refuses(
    [
      { path: 'a/b', body: '1' },
      { path: 'a/./b', body: '2' },
    ],
    /twice/,
  );
});

test('SECURITY 24: bombs by count, size and ratio are refused', async () => {
  const zeros = Buffer.alloc(8 * 1024 ** 2);
  const limits = { ...PACKAGE_LIMITS, ratioFromBytes: 1024 ** 2 };
  await refuses([{ path: 'zeros', body: zeros }], /compressed more/, limits);
  await refuses([{ path: 'zeros', body: zeros }], /unpacks to more/, { ...PACKAGE_LIMITS, unpackedBytes: 1024 ** 2 });
  await refuses([{ path: 'a' }, { path: 'b' }, { path: 'c' }], /too many entries/, { ...PACKAGE_LIMITS, entries: 2 });
});

test('SECURITY 24: entries that share bytes, lie about their size or are not a zip are refused', async () => {
  const data = await zipOf([
    { path: 'one', body: 'x'.repeat(5000) },
    { path: 'two', body: 'x'.repeat(5000) },
  ]);
  // The second central entry is pointed at the first's local header.
  const overlapping = Buffer.from(data);
  const central = overlapping.lastIndexOf(Buffer.from('PK\x01\x02', 'latin1'));
  overlapping.writeUInt32LE(0, central + 42);
  const file = written(overlapping);
  await assert.rejects(openArchive(file, PACKAGE_LIMITS, { sender: 'test' }), /overlapping/);

  const text = written(Buffer.from('not a zip'));
  await assert.rejects(openArchive(text, PACKAGE_LIMITS, { sender: 'test' }), /not a zip archive/);
});

test("SECURITY 24: an entry that is larger or smaller than it says, or no deflate stream, is its sender's fault wherever it is read", async () => {
  const data = await zipOf([{ path: 'two', body: 'x'.repeat(500_000) }]);
  const central = data.lastIndexOf(Buffer.from('PK\x01\x02', 'latin1'));
  const less = Buffer.from(data);
  less.writeUInt32LE(100_000, central + 24);
  const more = Buffer.from(data);
  more.writeUInt32LE(600_000, central + 24);
  const broken = Buffer.from(data);
  broken.fill(0xff, 40, 80);
  const nowhere = Buffer.from(data);
  nowhere.writeUInt32LE(data.length - 30, central + 42);
  for (const hostile of [less, more, broken, nowhere]) {
    const file = written(hostile);
    const archive = await openArchive(file, PACKAGE_LIMITS, { sender: 'test' });
    const reading = async () => buffer(await archive.entries[0]!.open());
    await assert.rejects(reading(), (error) => error instanceof ArchiveRefusedError && /damaged/.test(error.message));
    archive.close();
  }
});

test('a package is put together from what was sent and what is known', async () => {
  const blobs = new TestBlobs();
  const big = Buffer.alloc(70_000, 7);
  const sha1 = createHash('sha1').update(big).digest('hex');
  blobs.held.set('resources/f1', big);
  const matched = new Map([[sha1, { guid: 'f1', sha1, sha256: '', bytes: big.length }]]);
  const second = written(await zipOf([{ path: 'small', body: '2' }]));
  const rest = await openArchive(second, PACKAGE_LIMITS, { sender: 'test' });
  const resources = await readResources(
    JSON.stringify([{ checksum: { value: sha1 }, size_in_bytes: big.length, path: 'dir/big', mode: '4755' }]),
  );
  const upload = { ...second, archive: rest };
  const content = await packageContent({ blobs, upload, resources, matched, unpackedBytes: 1e9 });
  const whole = written(await buffer(content.body));
  rest.close();
  const assembled = await openArchive(whole, PACKAGE_LIMITS, { sender: 'test' });
  assert.deepEqual(
    assembled.entries.map((entry) => [entry.path, entry.bytes, entry.mode.toString(8)]),
    [
      ['small', 1, '644'],
      ['dir/big', 70_000, '755'],
    ],
  );
  assembled.close();
});

test('resources that climb, collide or are unknown are refused', async () => {
  const resource = (path: string) => JSON.stringify([{ sha1: 'a'.repeat(40), size: 70_000, fn: path }]);
  await assert.rejects(() => readResources(resource('../x')), ArchiveRefusedError);
  await assert.rejects(() => readResources('{'), ArchiveRefusedError);
  await assert.rejects(() => readResources('[{"sha1":"../../x","size":1,"fn":"a"}]'), ArchiveRefusedError);
  await assert.rejects(() => readResources(resource('.')), ArchiveRefusedError);
  const options = { blobs: new TestBlobs(), upload: null, matched: new Map(), unpackedBytes: 1e9 };
  const resources = await readResources(resource('x'));
  await assert.rejects(packageContent({ ...options, resources }), /not known here/);
  await assert.rejects(packageContent({ ...options, resources: [] }), /empty/);
});

test('SECURITY 25: more resources than a package may hold, and paths of endless depth, are refused', async () => {
  const resource = (fn: string) => ({ sha1: 'a'.repeat(40), size: 70_000, fn });
  const list = (count: number) => JSON.stringify(Array.from({ length: count }, (_, index) => resource(`f${index}`)));
  assert.equal((await readResources(list(20_000))).length, 20_000);
  await assert.rejects(readResources(list(20_001)), /too many resources/);
  const deep = JSON.stringify([resource('a/'.repeat(1000))]);
  await assert.rejects(readResources(deep), /lies too deep/);
  await refuses([{ path: `${'a/'.repeat(150)}x`, body: 'x' }], /lies too deep/);
});

test('SECURITY 25: a matched file that goes away before the package is read fails for its reader alone', async () => {
  const blobs = new TestBlobs();
  const sha1 = 'a'.repeat(40);
  const resources = [{ sha1, bytes: 70_000, path: 'gone', mode: 0o644 }];
  const matched = new Map([[sha1, { guid: 'gone', sha1, sha256: '', bytes: 70_000 }]]);
  const { body } = await packageContent({ blobs, upload: null, resources, matched, unpackedBytes: 1e9 });
  await eventually(() => body.destroyed);
  await turn(); // by then it has told whoever listens
  await assert.rejects(buffer(body), /went away/);
});
