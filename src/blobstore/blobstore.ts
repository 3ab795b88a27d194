import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import type { BlobKind, Blobs, TakeUpload } from '../contracts/blobs.ts';
import { BodyReader, UPLOAD_LIMITS } from '../kit/body.ts';
import type { DiskReserve } from '../kit/disk-sizes.ts';
import { CupolaError, messageOf } from '../kit/errors.ts';
import { forAddress, type RequestHandler } from '../kit/http.ts';
import type { Logger } from '../kit/log.ts';
import { Reconciler } from '../kit/reconcile.ts';
import { HttpRefusal } from '../kit/refusal.ts';
import { boundUnread } from '../kit/request-end.ts';
import { BLOB_KINDS, DiskStore, isBlobKey } from './disk.ts';
import { DiskRoom } from './disk-room.ts';
import { type BlobGrant, isSigned, signatureOf } from './signature.ts';

export interface BlobstoreOptions {
  /** Owned by the process alone; made where it is missing. */
  directory: string;
  /** Where cells reach `handler`, without a slash at the end, e.g. https://blobstore.internal:8444. */
  baseUrl: string;
  /** 32 bytes that only this process knows. */
  signingKey: Buffer;
  log: Logger;
  /** The largest body a signed PUT may send; 4 GiB unless told. */
  maxUploadBytes?: number;
  /** What blobs leave free on their disk. */
  reserve: DiskReserve;
  /** Writes what a cell uploads, by way of whoever keeps account of it. Unless told it is written as it comes. */
  takeUpload?: TakeUpload;
  clock?: () => Date;
}

export interface Blobstore {
  blobs: Blobs;
  /** Serves signed URLs, `/blobs/<kind>/<key>`. */
  handler: RequestHandler;
  start(): Promise<void>;
  close(): Promise<void>;
}

const DEFAULT_MAX_UPLOAD = 4 * 1024 ** 3;
const STRAYS_EVERY_MS = 24 * 3600_000;
/** Older contents without an entry are of a crash, not of an upload that is being finished. */
const STRAY_AFTER_MS = 3600_000;

const tooLarge = new HttpRefusal('body_too_large', 'the blob is too large');

/** BLB-01: packages, droplets and buildpacks on disk; cells come by URLs that are signed, for one object and one verb, and expire. */
export function createBlobstore(options: BlobstoreOptions): Blobstore {
  const { baseUrl, signingKey, log } = options;
  if (signingKey.length < 32) throw new CupolaError('bad_signing_key', 'the signing key must have 32 bytes');
  const clock = options.clock ?? (() => new Date());
  const maxUploadBytes = options.maxUploadBytes ?? DEFAULT_MAX_UPLOAD;
  const room = new DiskRoom(options.directory, { reserve: options.reserve });
  const disk = new DiskStore(options.directory, room);
  const uploads = new BodyReader({ ...UPLOAD_LIMITS, bodiesPerCaller: 4, bytesPerCaller: 4 * maxUploadBytes });
  const takeUpload: TakeUpload =
    options.takeUpload ?? ((kind, key, body, { maxBytes }) => disk.put(kind, key, body, maxBytes));
  const strays = new Reconciler(
    'blob-strays',
    STRAYS_EVERY_MS,
    async () => {
      const removed = await disk.removeStrays(new Date(clock().getTime() - STRAY_AFTER_MS));
      if (removed > 0) log.info('what a crash left in the blobstore was removed', { files: removed });
    },
    log,
  );

  const blobs: Blobs = {
    hold: (bytes, owners) => room.hold(bytes, owners),
    checkFree: () => room.checkFree(),
    scratch: (held, use) => disk.scratch(held, use),
    list: (kind) => disk.list(kind),
    put: (kind, key, body, maxBytes, held) => disk.put(kind, key, body, maxBytes, held),
    adopt: (kind, key, path, sha256) => disk.adopt(kind, key, path, sha256),
    open: (kind, key) => disk.open(kind, key),
    stat: (kind, key) => disk.stat(kind, key),
    delete: (kind, key) => disk.delete(kind, key),
    signedUrl: (verb, kind, key, ttlSeconds) => {
      if (!isBlobKey(key)) throw new CupolaError('bad_blob_key', 'a blob key has letters, digits, _ and - alone');
      const expires = Math.floor(clock().getTime() / 1000) + ttlSeconds;
      const signature = signatureOf({ verb, kind, key, expires }, signingKey);
      return `${baseUrl}/blobs/${kind}/${key}?expires=${expires}&signature=${signature}`;
    },
  };

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const grant = grantOf(request, signingKey, clock());
    if (!grant) {
      // One answer for a wrong, an expired and a missing signature, and before looking whether the blob exists.
      response.writeHead(403).end();
      return;
    }
    if (grant.verb === 'GET') await download(grant, request, response);
    else await upload(grant, request, response);
  }

  async function download(grant: BlobGrant, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const blob = await disk.open(grant.kind, grant.key);
    if (!blob) {
      response.writeHead(404).end();
      return;
    }
    try {
      response.writeHead(200, {
        'content-type': 'application/octet-stream',
        'content-length': blob.bytes,
        'x-content-type-options': 'nosniff',
        etag: `"${blob.sha256}"`,
      });
      if (request.method === 'HEAD') response.end();
      else await pipeline(blob.body, response);
    } finally {
      blob.body.destroy();
    }
  }

  async function upload(grant: BlobGrant, request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const length = request.headers['content-length'];
      const announced = length === undefined ? undefined : Number(length);
      // By the object: whoever was given its URL cannot take the room of others.
      const body = uploads.stream(request, response, `${grant.kind}/${grant.key}`, maxUploadBytes);
      const info = await takeUpload(grant.kind, grant.key, body, { maxBytes: maxUploadBytes, announced });
      response.writeHead(201, { 'content-type': 'application/json' }).end(JSON.stringify(info));
    } catch (error) {
      const refusal = error instanceof CupolaError && error.code === 'blob_too_large' ? tooLarge : error;
      if (refusal instanceof HttpRefusal) {
        if (refusal.retryAfter !== null) response.setHeader('retry-after', refusal.retryAfter);
        response.writeHead(refusal.status).end();
        return;
      }
      const status = error instanceof CupolaError ? REFUSALS.get(error.code) : undefined;
      if (status === undefined) throw error;
      response.writeHead(status, { connection: 'close' }).end();
    }
  }

  return {
    blobs,
    handler: (request, response) => {
      boundUnread(request, response);
      forAddress(request, () => answer(request, response)).catch((error: unknown) => {
        log.warn('a blob could not be served', { method: request.method, error: messageOf(error) });
        if (response.headersSent) response.destroy();
        else response.writeHead(500, { connection: 'close' }).end();
      });
    },
    start: async () => {
      await disk.start();
      strays.start();
    },
    close: () => strays.stop(),
  };
}

const REFUSALS: ReadonlyMap<string, number> = new Map([
  ['blob_too_large', 413],
  ['blob_refused', 507],
  ['blob_disk_full', 507],
]);

/** What the URL grants, if its signature is ours and its time has not passed. HEAD goes with GET. */
function grantOf(request: IncomingMessage, signingKey: Buffer, now: Date): BlobGrant | null {
  const verb = request.method === 'HEAD' ? 'GET' : request.method;
  if (verb !== 'GET' && verb !== 'PUT') return null;
  const url = /^\/blobs\/([\w-]+)\/([\w-]+)\?expires=(\d{1,12})&signature=([\w-]{43})$/.exec(request.url ?? '');
  if (!url) return null;
  const [, kindText, key = '', expiresText = '', signature = ''] = url;
  const kind: BlobKind | undefined = BLOB_KINDS.find((known) => known === kindText);
  const expires = Number(expiresText);
  if (!kind || !isBlobKey(key)) return null;
  const grant = { verb, kind, key, expires } as const;
  return isSigned(grant, signature, signingKey) && expires * 1000 > now.getTime() ? grant : null;
}
