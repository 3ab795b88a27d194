import type { Readable } from 'node:stream';

export type BlobKind = 'packages' | 'droplets' | 'buildpacks' | 'buildpack-caches' | 'resources';

export interface BlobInfo {
  sha256: string;
  bytes: number;
}

/** The blobstore as the rooms of the same process see it. Keys are GUIDs (or digests, for resources). */
export interface Blobs {
  /** Streams to disk and fsyncs; visible only when whole. Throws CupolaError `blob_too_large` past `maxBytes`. */
  put(kind: BlobKind, key: string, body: Readable, maxBytes: number): Promise<BlobInfo>;
  /** Null where there is none. */
  open(kind: BlobKind, key: string): Promise<{ body: Readable; bytes: number } | null>;
  stat(kind: BlobKind, key: string): Promise<BlobInfo | null>;
  delete(kind: BlobKind, key: string): Promise<void>;
  /** A URL for cells that serves this verb on this one object until it expires. */
  signedUrl(verb: 'GET' | 'PUT', kind: BlobKind, key: string, ttlSeconds: number): string;
}
