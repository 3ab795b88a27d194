import { Readable, type Transform } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';

const ZSTD_MAGIC = 0xfd2fb528;
/** As many first bytes as tell each kind. */
const HEAD_BYTES = 4;

/**
 * A layer's blob as it comes, and what makes plain bytes of it: null where it is plain. By its first bytes, in however small pieces
 * they come: media types are not to be relied on. Throws what the blob throws.
 */
export async function withDecompressor(
  blob: AsyncIterator<Buffer>,
): Promise<{ whole: Readable; decompress: Transform | null }> {
  let head = Buffer.alloc(0);
  while (head.length < HEAD_BYTES) {
    const { done, value } = await blob.next();
    if (done) break;
    head = Buffer.concat([head, value]);
  }
  return { whole: Readable.from(joined(head, blob), { objectMode: false }), decompress: decompressorOf(head) };
}

async function* joined(first: Buffer, rest: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  if (first.length > 0) yield first;
  yield* { [Symbol.asyncIterator]: () => rest };
}

function decompressorOf(head: Buffer): Transform | null {
  if (head[0] === 0x1f && head[1] === 0x8b) return createGunzip();
  if (head.length >= HEAD_BYTES && head.readUInt32LE(0) === ZSTD_MAGIC) return createZstdDecompress();
  return null;
}
