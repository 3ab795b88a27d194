import { Readable } from 'node:stream';
import { readLater } from '../../kit/streams.ts';

const ZSTD_MAGIC = 0xfd2fb528;
/** As many first bytes as tell each kind. */
const HEAD_BYTES = 4;

/**
 * How an archive is compressed, null where it is plain, and all of it, which may be read later. By its first bytes, in however small
 * pieces they come: what others say of it is not to be relied on. Throws what the archive fails with.
 */
export async function compressionOf(archive: Readable): Promise<{ kind: 'gzip' | 'zstd' | null; whole: Readable }> {
  let head = Buffer.alloc(0);
  for await (const chunk of readLater(archive).iterator({ destroyOnReturn: false })) {
    head = Buffer.concat([head, chunk]);
    if (head.length < HEAD_BYTES) continue;
    archive.unshift(head);
    return { kind: kindOf(head), whole: archive };
  }
  return { kind: kindOf(head), whole: Readable.from(head.length > 0 ? [head] : [], { objectMode: false }) };
}

function kindOf(head: Buffer): 'gzip' | 'zstd' | null {
  if (head[0] === 0x1f && head[1] === 0x8b) return 'gzip';
  return head.length >= HEAD_BYTES && head.readUInt32LE(0) === ZSTD_MAGIC ? 'zstd' : null;
}
