import { createHash } from 'node:crypto';
import fs, { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, type TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import type { Container } from '../../src/cell/garden/garden.ts';
import { type KeptBounds, KeptDroplets } from '../../src/cell/rep/kept-droplets.ts';
import { uploadFrom } from '../../src/cell/staging/transfers.ts';
import { BlobSchema } from '../../src/contracts/gen/diego_pb.js';
import type { DiskSizes } from '../../src/kit/disk-sizes.ts';
import { Logger } from '../../src/kit/log.ts';
import { tarOf } from '../../src/kit/tar.ts';
import { TestBlobs } from './buildpacks.ts';

/** Where this test's droplets are kept. */
export let directory: string;
/** What was logged of them. */
export let lines: string[];
let open: KeptDroplets[];

/** To be called once in a test file. */
export function eachTestHasKeptDroplets(): void {
  beforeEach(() => {
    directory = join(mkdtempSync('/tmp/kept-droplets-'), 'kept');
    lines = [];
    open = [];
  });
  afterEach(async () => {
    await Promise.all(open.map((kept) => kept.close()));
    rmSync(join(directory, '..'), { recursive: true });
  });
}

/** Of all disks here. */
export const RESERVE = 50;
/** A disk with room enough, which says so at once. */
export const largeDisk = async (): Promise<DiskSizes> => ({ total: 2 ** 40, free: 2 ** 40 });

export async function opened(bounds: Partial<KeptBounds> = {}, ask = largeDisk): Promise<KeptDroplets> {
  const log = new Logger('kept', {}, (line) => lines.push(line));
  const kept = new KeptDroplets({ directory, reserve: () => RESERVE, log, bounds, ask });
  open.push(kept);
  await kept.open();
  return kept;
}

export const files = () => readdirSync(directory);
export const bytesOnDisk = () => files().reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
export const infoOf = (content: Buffer) => ({
  sha256: createHash('sha256').update(content).digest('hex'),
  bytes: content.length,
});

/** A copy of so many bytes. */
export async function begun(kept: KeptDroplets, bytes: number) {
  const copy = kept.copy();
  await copy.expect(bytes);
  return copy;
}

/** Its digest. */
export async function keep(kept: KeptDroplets, content: Buffer): Promise<string> {
  await using copy = await begun(kept, content.length);
  copy.write(content);
  await copy.keep(infoOf(content));
  return infoOf(content).sha256;
}

/** What staging does with a droplet of this content; the blobs have it by the URL "droplet". */
export async function staged(
  kept: KeptDroplets,
  content: Buffer,
  { blobs = new TestBlobs(), signal = neverAborted() } = {},
) {
  const parts = Array.from({ length: Math.ceil(content.length / 65_536) }, (_, index) =>
    content.subarray(index * 65_536, (index + 1) * 65_536),
  );
  const tar = tarOf({ name: '../../chosen', size: content.length, owner: 0 }, Readable.from(parts));
  const container = { streamOut: async () => tar } as Partial<Container> as Container;
  await using copy = kept.copy();
  const blob = create(BlobSchema, { url: 'droplet' });
  const info = await uploadFrom(container, '/droplet.tgz', { blobs, blob, maximum: 2 ** 30, signal, copy });
  await copy.keep(info, signal);
  return { info, blobs };
}

const neverAborted = () => new AbortController().signal;

/** So that the disk keeps up with each part. */
export function atThePaceOfANetwork(after = async () => {}): TestBlobs {
  const blobs = new TestBlobs();
  blobs.upload = async ({ url }, body) => {
    const parts: Buffer[] = [];
    for await (const part of body) {
      parts.push(part);
      for (let turns = 0; turns < 10; turns++) await turn();
    }
    blobs.content.set(url, Buffer.concat(parts));
    await after();
  };
  return blobs;
}

/** The disk takes no such call until what this gives is called. */
export function heldUp(t: TestContext, call: 'open' | 'write'): () => void {
  const { promise, resolve } = Promise.withResolvers<void>();
  const original = fs[call] as (...args: unknown[]) => void;
  t.mock.method(fs, call, (...args: unknown[]) => void promise.then(() => original(...args)));
  return resolve;
}
