import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { DiskRoom } from '../../src/blobstore/disk-room.ts';
import type { BlobInfo, BlobKind, Blobs, HeldRoom, ListedBlob, Scratch } from '../../src/contracts/blobs.ts';
import { CupolaError } from '../../src/kit/errors.ts';

/** Blobs of a test, in memory; the blobstore room's own tests cover the real ones. */
export class TestBlobs implements Blobs {
  readonly held = new Map<string, Buffer>();
  /** How many were put, and opened. */
  puts = 0;
  opened = 0;
  /** When a blob was put, for a test that lets time pass; the present where it is not told. */
  readonly times = new Map<string, Date>();
  /** What the disk still takes. */
  free = Number.POSITIVE_INFINITY;

  #asked = 0;
  readonly #room = new DiskRoom('', {
    reserve: () => 0,
    ask: async () => ({ total: this.free, free: this.free }),
    // Each time longer after the last than any answer holds.
    clock: () => (this.#asked += 3600_000),
  });

  /** What was asked to be held and is not written or released. */
  roomHeld = 0;
  /** What was written in rooms that were held. */
  written = 0;

  async adopt(kind: BlobKind, key: string, path: string, sha256: string): Promise<BlobInfo | null> {
    if (!existsSync(path)) return null;
    const content = readFileSync(path);
    rmSync(path);
    this.held.set(`${kind}/${key}`, content);
    return { sha256, bytes: content.length };
  }

  async hold(bytes: number, owners: readonly string[]): Promise<HeldRoom> {
    const held = await this.#room.hold(bytes, owners);
    this.roomHeld += bytes;
    let left = bytes;
    const take = (most: number): void => {
      const taken = Math.min(left, most);
      left -= taken;
      this.roomHeld -= taken;
    };
    return {
      write: (more, write) => {
        take(more);
        return held.write(more, async () => {
          this.written += more;
          await write();
        });
      },
      release: () => {
        take(left);
        held.release();
      },
    };
  }

  checkFree(): Promise<void> {
    return this.#room.checkFree();
  }

  async scratch<Result>(room: HeldRoom, use: (scratch: Scratch) => Promise<Result>): Promise<Result> {
    const directory = await mkdtemp('/tmp/cupola-scratch-');
    const path = join(directory, 'upload');
    try {
      const fill: Scratch['fill'] = async (body) => {
        const chunks: Buffer[] = [];
        for await (const chunk of body as AsyncIterable<Buffer>) {
          await room.write(chunk.length, async () => void chunks.push(chunk));
        }
        const data = Buffer.concat(chunks);
        await writeFile(path, data);
        return infoOf(data);
      };
      return await use({ path, fill });
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }

  async *list(kind: BlobKind): AsyncGenerator<ListedBlob> {
    for (const [path, data] of [...this.held]) {
      const [of, key = ''] = path.split('/');
      if (of === kind) yield { key, bytes: data.length, modifiedAt: this.times.get(path) ?? new Date() };
    }
  }

  async put(kind: BlobKind, key: string, body: Readable, maxBytes: number, room?: HeldRoom): Promise<BlobInfo> {
    this.puts++;
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of body) {
      bytes += (chunk as Buffer).length;
      if (bytes > maxBytes) throw new CupolaError('blob_too_large', 'too large');
      chunks.push(chunk as Buffer);
    }
    await room?.write(bytes, async () => {});
    this.held.set(`${kind}/${key}`, Buffer.concat(chunks));
    return (await this.stat(kind, key))!;
  }

  async open(kind: BlobKind, key: string): Promise<{ body: Readable; bytes: number } | null> {
    this.opened++;
    const data = this.held.get(`${kind}/${key}`);
    return data ? { body: Readable.from([data]), bytes: data.length } : null;
  }

  async stat(kind: BlobKind, key: string): Promise<BlobInfo | null> {
    const data = this.held.get(`${kind}/${key}`);
    return data ? infoOf(data) : null;
  }

  async delete(kind: BlobKind, key: string): Promise<void> {
    this.held.delete(`${kind}/${key}`);
  }

  signedUrl(verb: 'GET' | 'PUT', kind: BlobKind, key: string, ttlSeconds: number): string {
    return `https://blobs.test/${kind}/${key}?verb=${verb}&ttl=${ttlSeconds}`;
  }
}

function infoOf(data: Buffer): BlobInfo {
  return { sha256: createHash('sha256').update(data).digest('hex'), bytes: data.length };
}
