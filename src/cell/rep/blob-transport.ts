import type { Readable } from 'node:stream';
import type { Blob } from '../../contracts/gen/diego_pb.js';

/** The blobstore, by signed URL. */
export interface BlobTransport {
  /** The content as it comes; the digest is the reader's to check. Throws CupolaError `blob_unavailable`. */
  fetch(blob: Blob, signal: AbortSignal): Promise<Readable>;
  /** Streams `body` to the URL. Throws CupolaError `blob_not_stored`. */
  upload(blob: Blob, body: Readable, bytes: number | undefined, signal?: AbortSignal): Promise<void>;
}
