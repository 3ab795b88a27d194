import assert from 'node:assert/strict';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { withDecompressor } from '../../../src/cell/images/compression.ts';

async function* inPieces(content: Buffer, bytes: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < content.length; at += bytes) yield content.subarray(at, at + bytes);
}

async function plain(content: Buffer, bytes: number): Promise<string> {
  const { whole, decompress } = await withDecompressor(inPieces(content, bytes));
  return (await buffer(decompress ? whole.pipe(decompress) : whole)).toString();
}

test('how a layer is compressed is seen in its first bytes, in however small pieces they come', async () => {
  const text = 'a layer of an image';
  for (const encode of [gzipSync, zstdCompressSync, (content: Buffer) => content]) {
    for (const bytes of [1, 2, 3, 1000]) assert.equal(await plain(encode(Buffer.from(text)), bytes), text);
  }
});

test('what is shorter than any sign of a compression is plain', async () => {
  for (const text of ['', 'a', 'abc']) assert.equal(await plain(Buffer.from(text), 1), text);
});

test('a blob that breaks off is told', async () => {
  async function* broken(): AsyncGenerator<Buffer> {
    yield Buffer.from('a');
    throw new Error('broke off');
  }
  await assert.rejects(withDecompressor(broken()), /broke off/);
});
