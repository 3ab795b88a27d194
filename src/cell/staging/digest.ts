import { createHash } from 'node:crypto';
import { Transform } from 'node:stream';
import type { BlobInfo } from '../../contracts/blobs.ts';
import { CupolaError } from '../../kit/errors.ts';

/**
 * Passes a stream on, counting and hashing it. With `expected` (hex; "" for none) it fails before the end where the content is
 * another: `blob_digest_mismatch`. Past `maximum` bytes it fails with `blob_too_large`. `copy` gets what is hashed, part by part.
 */
export function digesting(options: { expected?: string; maximum?: number; copy?: (chunk: Buffer) => void } = {}): {
  stream: Transform;
  info: () => BlobInfo;
} {
  const hash = createHash('sha256');
  let bytes = 0;
  let sha256 = '';
  const stream = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length;
      if (bytes > (options.maximum ?? Number.POSITIVE_INFINITY)) {
        done(new CupolaError('blob_too_large', `more than ${options.maximum} bytes`));
        return;
      }
      hash.update(chunk);
      options.copy?.(chunk);
      done(null, chunk);
    },
    flush(done) {
      sha256 = hash.digest('hex');
      const wrong = options.expected && options.expected !== sha256;
      done(wrong ? new CupolaError('blob_digest_mismatch', 'the blob is not what was announced') : null);
    },
  });
  return { stream, info: () => ({ sha256, bytes }) };
}

/** "220B", "1.2M": sizes as the staging log shows them. */
export function readableSize(bytes: number): string {
  const units = ['B', 'K', 'M', 'G', 'T'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : Number(value.toFixed(1))}${units[unit]}`;
}
