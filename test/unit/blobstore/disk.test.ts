import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, test } from 'node:test';
import { DiskStore } from '../../../src/blobstore/disk.ts';
import { DiskRoom } from '../../../src/blobstore/disk-room.ts';

const MAX = 1_000_000;
let directory = '';
let store: DiskStore;
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'cupola-disk-'));
  store = new DiskStore(directory, new DiskRoom(directory, { reserve: () => 0 }));
  await store.start();
});
afterEach(() => rmSync(directory, { recursive: true }));

/** The class of the files that are open, whose methods all of them share. */
async function fileClass(): Promise<FileHandle> {
  await using file = await open(directory, 'r');
  return Object.getPrototypeOf(file);
}

test('a put ends as soon as the disk refuses, though its client says nothing more', { timeout: 10_000 }, async ({
  signal,
}) => {
  const body = new Readable({ read() {}, signal });
  body.push('the last that it says');
  const refusal = new Error('no room');
  const room = { write: () => Promise.reject(refusal) };
  await assert.rejects(store.put('droplets', 'silent', body, MAX, room), refusal);
  assert.ok(body.destroyed);
  assert.deepEqual(readdirSync(join(directory, 'incoming')), []);
  assert.equal(await store.stat('droplets', 'silent'), null);
});

test('what the system writes in part is written whole', async (t) => {
  const files = await fileClass();
  const { appendFile } = files;
  const inPart = async function (this: FileHandle, data: Uint8Array, at = 0) {
    const part = data.subarray(at, at + 1000);
    await appendFile.call(this, part);
    return { bytesWritten: part.length, buffer: data };
  };
  t.mock.method(files, 'write', inPart);
  const { mock } = t.mock.method(files, 'writev', function (this: FileHandle, parts: readonly Uint8Array[]) {
    return inPart.call(this, Buffer.concat(parts));
  });
  const content = randomBytes(10_000);
  const chunks = [700, 2_300, 10_000].map((end, index, ends) => content.subarray(ends[index - 1] ?? 0, end));
  const info = await store.put('droplets', 'whole', Readable.from(chunks), MAX);
  assert.ok(mock.callCount() > 0);
  assert.deepEqual(info, { sha256: createHash('sha256').update(content).digest('hex'), bytes: content.length });
  const found = await store.open('droplets', 'whole');
  assert.ok(found && content.equals(await buffer(found.body)));
});

test('a file that is known becomes the content, and is neither read nor written', async () => {
  await store.put('buildpacks', 'one', Readable.from([Buffer.from('former')]), MAX);
  const linkedFile = join(directory, 'linked.zip');
  writeFileSync(linkedFile, 'content');
  const { ino } = statSync(linkedFile);
  const sha256 = createHash('sha256').update('content').digest('hex');
  assert.deepEqual(await store.adopt('buildpacks', 'one', linkedFile, sha256), { sha256, bytes: 7 });
  const found = await store.open('buildpacks', 'one');
  assert.equal((await buffer(found!.body)).toString(), 'content');
  assert.equal(existsSync(linkedFile), false);
  const contents = readdirSync(join(directory, 'buildpacks/on')).filter((name) => !name.endsWith('.info'));
  assert.deepEqual(
    contents.map((name) => statSync(join(directory, 'buildpacks/on', name)).ino),
    [ino],
    'the very file, and not the former one beside it',
  );
});

test('a temporary file that is filled becomes the content, and nothing of it is left', async () => {
  const room = new DiskRoom(directory, { reserve: () => 0 });
  const info = await store.scratch(room, async ({ path, fill }) => {
    const { sha256 } = await fill(Readable.from([Buffer.from('content')]), MAX);
    const { ino } = statSync(path);
    const adopted = await store.adopt('packages', 'one', path, sha256);
    const contents = readdirSync(join(directory, 'packages/on')).filter((name) => !name.endsWith('.info'));
    assert.deepEqual(
      contents.map((name) => statSync(join(directory, 'packages/on', name)).ino),
      [ino],
    );
    return adopted;
  });
  assert.deepEqual(info, { sha256: createHash('sha256').update('content').digest('hex'), bytes: 7 });
  assert.equal((await buffer((await store.open('packages', 'one'))!.body)).toString(), 'content');
  assert.deepEqual(readdirSync(join(directory, 'incoming')), []);
});

test('what is no file of that name, or lies elsewhere, is not taken', async () => {
  const far = mkdtempSync('/dev/shm/cupola-disk-');
  try {
    writeFileSync(join(far, 'zip'), 'content');
    symlinkSync(join(far, 'zip'), join(directory, 'link'));
    assert.equal(await store.adopt('buildpacks', 'one', join(directory, 'missing'), ''), null);
    assert.equal(await store.adopt('buildpacks', 'one', join(far, 'zip'), ''), null);
    await assert.rejects(store.adopt('buildpacks', 'one', join(directory, 'link'), ''), { code: 'ELOOP' });
    assert.equal(await store.stat('buildpacks', 'one'), null);
    assert.deepEqual(readdirSync(join(directory, 'incoming')), []);
  } finally {
    rmSync(far, { recursive: true });
  }
});
