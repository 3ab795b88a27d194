import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import {
  ArchiveRefusedError,
  openArchive,
  PACKAGE_LIMITS,
  staysInside,
} from '../../../src/cloud-controller/packages/archive.ts';
import { matchResources, readResources, storePackage } from '../../../src/cloud-controller/packages/assemble.ts';
import { TestBlobs } from '../../support/blobs.ts';
import { type ZipItem, zipOf } from '../../support/zips.ts';

const directory = mkdtempSync('/tmp/cupola-zip-');
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
  return openArchive(file.path, file.bytes, limits);
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
  await refuses([{ path: 'file', body: 'x', mode: 0o040755 }], /not what its name says/);
});

test('SECURITY 24: paths that climb or are absolute are refused', async () => {
  for (const path of ['../x', 'a/../../x', '/etc/passwd', 'C:/x', '..\\x', 'a/..']) {
    await refuses([{ path, body: 'x' }], /damaged|relative|leaves/);
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
  await assert.rejects(openArchive(file.path, file.bytes, PACKAGE_LIMITS), /overlapping/);

  const lying = Buffer.from(data);
  lying.writeUInt32LE(10, central + 24);
  const liar = written(lying);
  const archive = await openArchive(liar.path, liar.bytes, PACKAGE_LIMITS);
  const upload = { path: liar.path, archive };
  const blobs = new TestBlobs();
  const resources = [{ sha1: 'a'.repeat(40), bytes: 1, path: 'r', mode: 0o644 }];
  blobs.held.set(`resources/${'a'.repeat(40)}`, Buffer.from('r'));
  await assert.rejects(
    storePackage({ blobs, key: 'p', upload, resources, maxBytes: 1e9, unpackedBytes: 1e9 }),
    /too many bytes/,
  );
  archive.close();

  const text = written(Buffer.from('not a zip'));
  await assert.rejects(openArchive(text.path, text.bytes, PACKAGE_LIMITS), /not a zip archive/);
});

test('a package is put together from what was sent and what is known, by SHA-1 and size', async () => {
  const blobs = new TestBlobs();
  const big = Buffer.alloc(70_000, 7);
  const sha1 = createHash('sha1').update(big).digest('hex');
  const first = written(
    await zipOf([
      { path: 'big', body: big },
      { path: 'small', body: '1' },
    ]),
  );
  const archive = await openArchive(first.path, first.bytes, PACKAGE_LIMITS);
  const limits = { maxBytes: 1e9, unpackedBytes: 1e9 };
  await storePackage({ blobs, key: 'one', upload: { path: first.path, archive }, resources: [], ...limits });
  archive.close();
  assert.deepEqual(
    [...blobs.held.keys()].sort(),
    ['packages/one', `resources/${sha1}`],
    'only the file worth keeping is kept',
  );

  const wanted = [
    { sha1, bytes: big.length },
    { sha1, bytes: 5 },
    { sha1: 'f'.repeat(40), bytes: 70_000 },
  ];
  assert.deepEqual([...(await matchResources(blobs, wanted))], [sha1]);
  assert.deepEqual([...(await matchResources(blobs, [{ sha1, bytes: 5 }]))], [], 'a size that differs is no match');

  const second = written(await zipOf([{ path: 'small', body: '2' }]));
  const rest = await openArchive(second.path, second.bytes, PACKAGE_LIMITS);
  const resources = readResources(
    JSON.stringify([{ checksum: { value: sha1 }, size_in_bytes: big.length, path: 'dir/big', mode: '4755' }]),
  );
  await storePackage({ blobs, key: 'two', upload: { path: second.path, archive: rest }, resources, ...limits });
  rest.close();
  const whole = written(blobs.held.get('packages/two')!);
  const assembled = await openArchive(whole.path, whole.bytes, PACKAGE_LIMITS);
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
  assert.throws(() => readResources(resource('../x')), ArchiveRefusedError);
  assert.throws(() => readResources('{'), ArchiveRefusedError);
  assert.throws(() => readResources('[{"sha1":"../../x","size":1,"fn":"a"}]'), ArchiveRefusedError);
  const resources = readResources(resource('x'));
  const options = { blobs: new TestBlobs(), key: 'k', upload: null, maxBytes: 1e9, unpackedBytes: 1e9 };
  await assert.rejects(storePackage({ ...options, resources }), /not known here/);
  await assert.rejects(storePackage({ ...options, resources: [] }), /empty/);
});
