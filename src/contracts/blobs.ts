import type { Readable } from 'node:stream';

export type BlobKind = 'packages' | 'droplets' | 'buildpacks' | 'buildpack-caches' | 'resources';

export interface BlobInfo {
  sha256: string;
  bytes: number;
}

/** A blob as a sweep sees it. */
export interface ListedBlob {
  key: string;
  bytes: number;
  /** When it was put. */
  modifiedAt: Date;
}

/** Writes what was uploaded over a signed URL. Throws CupolaError `blob_refused` where it is not wanted. */
export type TakeUpload = (
  kind: BlobKind,
  key: string,
  body: Readable,
  size: { maxBytes: number; announced?: number | undefined },
) => Promise<BlobInfo>;

/** Room on the disk that is held for one writer: all it asked for, as far as that is not more than one owner may hold. */
export interface HeldRoom {
  /** Writes so much by `write`: of what is held, and beyond that where there is room. Throws CupolaError `blob_disk_full`. */
  write(bytes: number, write: () => Promise<void>): Promise<void>;
  /** Gives back what was not written. Whoever holds room calls it in the end, however that comes. */
  release(): void;
}

/** A temporary file. */
export interface Scratch {
  path: string;
  /** Writes it, once. Throws CupolaError `blob_too_large` past `maxBytes`, `blob_disk_full`. */
  fill(body: Readable, maxBytes: number): Promise<BlobInfo>;
}

/** The blobstore as the rooms of the same process see it. Keys are random: whoever knows a digest knows no key. */
export interface Blobs {
  /**
   * Holds room for so much, for somebody by the names of all they are counted under. Throws CupolaError `blob_disk_full` where it
   * would leave too little free on the disk.
   */
  hold(bytes: number, owners: readonly string[]): Promise<HeldRoom>;
  /** Throws CupolaError `blob_disk_full` where the disk has no more free than blobs leave, whatever is held. */
  checkFree(): Promise<void>;
  /** A file on the disk of the blobs that is there while `use` runs, written in the room that is held for it. */
  scratch<Result>(room: HeldRoom, use: (scratch: Scratch) => Promise<Result>): Promise<Result>;
  /**
   * Streams to disk and fsyncs, in the room that is held for it where there is some; visible only when whole. Throws
   * CupolaError `blob_too_large` past `maxBytes`, `blob_disk_full`.
   */
  put(kind: BlobKind, key: string, body: Readable, maxBytes: number, room?: HeldRoom): Promise<BlobInfo>;
  /**
   * Takes a file with this digest for the content, without reading it: for what a more trusted process made and knows. Null where it
   * is not there, or where it lies cannot be had without a copy.
   */
  adopt(kind: BlobKind, key: string, path: string, sha256: string): Promise<BlobInfo | null>;
  /** Null where there is none. */
  open(kind: BlobKind, key: string): Promise<{ body: Readable; bytes: number } | null>;
  stat(kind: BlobKind, key: string): Promise<BlobInfo | null>;
  delete(kind: BlobKind, key: string): Promise<void>;
  /** All there are of a kind, in no order; what comes or goes meanwhile may be among them or not. */
  list(kind: BlobKind): AsyncIterable<ListedBlob>;
  /** A URL for cells that serves this verb on this one object until it expires. */
  signedUrl(verb: 'GET' | 'PUT', kind: BlobKind, key: string, ttlSeconds: number): string;
}
