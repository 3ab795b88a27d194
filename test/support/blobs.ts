import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { BlobInfo, BlobKind, Blobs } from '../../src/contracts/blobs.ts';
import { CupolaError } from '../../src/kit/errors.ts';

/** Blobs of a test, in memory; the blobstore room's own tests cover the real ones. */
export class TestBlobs implements Blobs {
  readonly held = new Map<string, Buffer>();
  /** How many were put. */
  puts = 0;

  async put(kind: BlobKind, key: string, body: Readable, maxBytes: number): Promise<BlobInfo> {
    this.puts++;
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of body) {
      bytes += (chunk as Buffer).length;
      if (bytes > maxBytes) throw new CupolaError('blob_too_large', 'too large');
      chunks.push(chunk as Buffer);
    }
    this.held.set(`${kind}/${key}`, Buffer.concat(chunks));
    return (await this.stat(kind, key))!;
  }

  async open(kind: BlobKind, key: string): Promise<{ body: Readable; bytes: number } | null> {
    const data = this.held.get(`${kind}/${key}`);
    return data ? { body: Readable.from([data]), bytes: data.length } : null;
  }

  async stat(kind: BlobKind, key: string): Promise<BlobInfo | null> {
    const data = this.held.get(`${kind}/${key}`);
    return data ? { sha256: createHash('sha256').update(data).digest('hex'), bytes: data.length } : null;
  }

  async delete(kind: BlobKind, key: string): Promise<void> {
    this.held.delete(`${kind}/${key}`);
  }

  signedUrl(verb: 'GET' | 'PUT', kind: BlobKind, key: string, ttlSeconds: number): string {
    return `https://blobs.test/${kind}/${key}?verb=${verb}&ttl=${ttlSeconds}`;
  }
}
