import { createWriteStream } from 'node:fs';
import { PassThrough, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { BlobInfo } from '../../contracts/blobs.ts';
import type { Blob } from '../../contracts/gen/diego_pb.js';
import { CupolaError, codeOf } from '../../kit/errors.ts';
import { TarReader } from '../../kit/tar.ts';
import { together } from '../../kit/together.ts';
import type { Container } from '../garden/garden.ts';
import { digesting, readableSize } from './digest.ts';
import { StagingFailure } from './failure.ts';

/** What reading fails with where it is for what the container has there. */
const OF_ITS_CONTENT: ReadonlySet<string | undefined> = new Set(['archive_refused', 'tar_invalid']);

/** A line of the app's staging log. */
export type StagingLog = (text: string, stderr?: boolean) => void;

/** The blobstore, by signed URL. */
export interface StagingBlobs {
  fetch(blob: Blob, signal: AbortSignal): Promise<Readable>;
  upload(blob: Blob, body: Readable, bytes: number | undefined, signal?: AbortSignal): Promise<void>;
}

/** A file on its way into the container. */
export interface ScratchFile {
  path: string;
  bytes: number;
}

/** Fetches a blob into a file: its size is needed for the way in, and nothing is unpacked that is not what was announced. */
export async function downloadTo(
  path: string,
  source: { blobs: StagingBlobs; blob: Blob; maximum: number; signal: AbortSignal },
): Promise<ScratchFile> {
  const { blobs, blob, maximum, signal } = source;
  const checked = digesting({ expected: blob.sha256, maximum });
  const body = await blobs.fetch(blob, signal);
  await pipeline(body, checked.stream, createWriteStream(path, { mode: 0o600 }), { signal });
  return { path, bytes: checked.info().bytes };
}

/** What gets the same bytes as the blobstore, which it holds up for no longer than it says. */
export interface UploadCopy {
  /** Before the first of them: how many. */
  expect(bytes: number, signal: AbortSignal): Promise<void>;
  write(chunk: Buffer): void;
}

/**
 * Has `read` read what is at a path of a container, as a tar. Rejects when `signal` aborts; what makes it ends with the reading. Throws
 * StagingFailure where nothing is there, or nothing that can be read.
 */
export async function takeOut<T>(
  container: Container,
  path: string,
  signal: AbortSignal,
  read: (tar: Readable) => Promise<T>,
): Promise<T> {
  let tar: Readable | null = null;
  try {
    tar = await container.streamOut(path, signal);
    return await read(tar);
  } catch (cause) {
    if (!OF_ITS_CONTENT.has(codeOf(cause))) throw cause;
    throw new StagingFailure('StagingError', `What staging made at ${path} could not be read`, { cause });
  } finally {
    tar?.destroy();
  }
}

/** Where an upload goes, and how many bytes it may have. */
export interface UploadTarget {
  blobs: StagingBlobs;
  blob: Blob;
  maximum: number;
  signal: AbortSignal;
  copy?: UploadCopy | undefined;
}

/** Streams one file of a container into the blobstore. Throws StagingFailure where it has more than `maximum` bytes. */
export async function uploadFrom(container: Container, path: string, target: UploadTarget): Promise<BlobInfo> {
  return takeOut(container, path, target.signal, (tar) => uploadOf(new TarReader(tar), path, target));
}

async function uploadOf(members: TarReader, path: string, target: UploadTarget): Promise<BlobInfo> {
  const { blobs, blob, maximum, signal, copy } = target;
  for await (const member of members) {
    if (member.type !== 'file') continue;
    if (member.size > maximum) {
      throw new StagingFailure('StagingError', `A file that staging made has more than ${readableSize(maximum)}`);
    }
    await copy?.expect(member.size, signal);
    const counted = digesting({ maximum, ...(copy && { copy: (chunk) => copy.write(chunk) }) });
    const body = new PassThrough();
    await together([
      pipeline(Readable.from(members.content(), { objectMode: false }), counted.stream, body, {
        signal: signal,
      }),
      blobs.upload(blob, body, member.size, signal).catch((error) => {
        body.destroy(error); // nobody reads on
        throw error;
      }),
    ]);
    return counted.info();
  }
  throw new StagingFailure('StagingError', `There is no file ${path} after staging`);
}

export function required(blob: Blob | undefined, what: string): Blob {
  if (!blob?.url) throw new CupolaError('staging_incomplete', `the staging task names no ${what}`);
  return blob;
}
