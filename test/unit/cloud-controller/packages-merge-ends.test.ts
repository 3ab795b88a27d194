import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, before, test } from 'node:test';
import { DiskStore } from '../../../src/blobstore/disk.ts';
import { DiskRoom } from '../../../src/blobstore/disk-room.ts';
import { type ArchiveEntry, openArchive, PACKAGE_LIMITS } from '../../../src/cloud-controller/packages/archive.ts';
import { packageContent } from '../../../src/cloud-controller/packages/assemble.ts';
import type { Blobs } from '../../../src/contracts/blobs.ts';
import { CupolaError } from '../../../src/kit/errors.ts';
import { eventually } from '../../support/apps.ts';
import { TestBlobs } from '../../support/blobs.ts';
import { collectGarbage, openBelow } from '../../support/descriptors.ts';
import { zipOf } from '../../support/zips.ts';

const MEBIBYTE = 1024 ** 2;
const directory = mkdtempSync(join(tmpdir(), 'cupola-merge-'));
const store = new DiskStore(directory, new DiskRoom(directory, { reserve: () => 0 }));
/** A file that is matched, and one that is sent; nothing makes them smaller. */
const content = randomBytes(4 * MEBIBYTE);
const sha1 = createHash('sha1').update(content).digest('hex');
const file = { path: join(directory, 'upload.zip'), bytes: 0 };
/** What nobody caught: in the control process each of them would be its end. */
const uncaught: unknown[] = [];
const onUncaught = (error: unknown) => void uncaught.push(error);

before(async () => {
  process.on('uncaughtException', onUncaught);
  await store.start();
  await store.put('resources', 'known', Readable.from([content]), 5 * MEBIBYTE);
  const data = await zipOf([{ path: 'sent', body: content }]);
  file.bytes = data.length;
  writeFileSync(file.path, data);
});
after(() => {
  process.off('uncaughtException', onUncaught);
  rmSync(directory, { recursive: true, force: true });
});

const blobs: Blobs = Object.assign(new TestBlobs(), { open: store.open.bind(store), put: store.put.bind(store) });
const tooLarge = (error: unknown) => error instanceof CupolaError && error.code === 'blob_too_large';
const opened = () => openArchive(file, PACKAGE_LIMITS, { sender: 'test' });

/** The package of the upload and the matched file, three times over at other paths. */
async function merged(upload: Parameters<typeof packageContent>[0]['upload']): Promise<Readable> {
  const resources = ['a', 'b', 'c'].map((path) => ({ sha1, bytes: content.length, path, mode: 0o644 }));
  const matched = new Map([[sha1, { guid: 'known', sha1, sha256: '', bytes: content.length }]]);
  return (await packageContent({ blobs, upload, resources, matched, unpackedBytes: 1e9 })).body;
}

async function nothingIsOpen(): Promise<void> {
  await collectGarbage();
  assert.deepEqual(uncaught.splice(0), []);
  await eventually(() => openBelow(directory).length === 0 || null).catch(() => {});
  assert.deepEqual(openBelow(directory), []);
}

test('SECURITY 25: a package that ends in the middle of a matched file leaves nothing open', async () => {
  for (const most of [MEBIBYTE, 5 * MEBIBYTE, 9 * MEBIBYTE]) {
    await assert.rejects(store.put('packages', 'cut', await merged(null), most), tooLarge);
  }
  const unread = await merged(null);
  unread.destroy();
  await nothingIsOpen();
});

test('SECURITY 25: a package that ends in the middle of an uploaded file leaves nothing open, nor the upload', async () => {
  for (const most of [MEBIBYTE, 5 * MEBIBYTE]) {
    const archive = await opened();
    await assert.rejects(store.put('packages', 'cut', await merged({ ...file, archive }), most), tooLarge);
    archive.close();
  }
  await nothingIsOpen();
});

test('SECURITY 25: an archive that is closed ends what is read of it, or was opened and not read', async () => {
  const first = (entries: readonly ArchiveEntry[]): ArchiveEntry => {
    const [entry] = entries;
    assert.ok(entry);
    return entry;
  };
  const archive = await opened();
  const unread = await first(archive.entries).open();
  const begun = await first(archive.entries).open();
  await begun[Symbol.asyncIterator]().next();
  const late = first(archive.entries).open();
  archive.close();
  await eventually(() => unread.destroyed && begun.destroyed);
  await late.then(
    (stream) => eventually(() => stream.destroyed),
    () => {},
  );
  await nothingIsOpen();
});
