import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { compressionOf } from '../../../src/cell/garden/compression.ts';

function inPieces(content: Buffer, bytes: number): Readable {
  const count = Math.ceil(content.length / bytes);
  const pieces = Array.from({ length: count }, (_, index) => content.subarray(index * bytes, (index + 1) * bytes));
  return Readable.from(pieces, { objectMode: false });
}

test('how an archive is compressed is seen in its first bytes, in however small pieces they come, and it stays whole', async () => {
  const text = Buffer.from('an archive');
  const archives = [
    ['gzip', gzipSync(text)],
    ['zstd', zstdCompressSync(text)],
    [null, text],
  ] as const;
  for (const [expected, archive] of archives) {
    for (const bytes of [1, 2, 3, 1000]) {
      const { kind, whole } = await compressionOf(inPieces(archive, bytes));
      assert.equal(kind, expected);
      assert.deepEqual(await buffer(whole), archive);
    }
  }
});

test('what is shorter than any sign of a compression is plain', async () => {
  for (const text of ['', 'a', 'abc']) {
    const { kind, whole } = await compressionOf(inPieces(Buffer.from(text), 1));
    assert.equal(kind, null);
    assert.equal((await buffer(whole)).toString(), text);
  }
});

test('an archive that breaks off is told, at once or when it is read', async () => {
  const broken = (...pieces: string[]) =>
    Readable.from(
      (async function* () {
        for (const piece of pieces) yield Buffer.from(piece);
        throw new Error('broke off');
      })(),
      { objectMode: false },
    );
  await assert.rejects(compressionOf(broken('a')), /broke off/);
  const { whole } = await compressionOf(broken('abcd'));
  await new Promise(setImmediate);
  await assert.rejects(buffer(whole), /broke off/);
});
