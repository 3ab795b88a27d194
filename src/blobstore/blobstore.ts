import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import type { BlobKind, Blobs } from '../contracts/blobs.ts';
import { CupolaError, messageOf } from '../kit/errors.ts';
import type { RequestHandler } from '../kit/http.ts';
import type { Logger } from '../kit/log.ts';
import { BLOB_KINDS, DiskStore, isBlobKey } from './disk.ts';
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

/** BLB-01: packages, droplets and buildpacks on disk; cells come by URLs that are signed, for one object and one verb, and expire. */
export function createBlobstore(options: BlobstoreOptions): Blobstore {
  const { baseUrl, signingKey, log } = options;
  if (signingKey.length < 32) throw new CupolaError('bad_signing_key', 'the signing key must have 32 bytes');
  const clock = options.clock ?? (() => new Date());
  const maxUploadBytes = options.maxUploadBytes ?? DEFAULT_MAX_UPLOAD;
  const disk = new DiskStore(options.directory);

  const blobs: Blobs = {
    put: (kind, key, body, maxBytes) => disk.put(kind, key, body, maxBytes),
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
      response.writeHead(403, { connection: 'close' }).end();
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
    response.writeHead(200, {
      'content-type': 'application/octet-stream',
      'content-length': blob.bytes,
      'x-content-type-options': 'nosniff',
      etag: `"${blob.sha256}"`,
    });
    if (request.method === 'HEAD') {
      blob.body.destroy();
      response.end();
    } else await pipeline(blob.body, response);
  }

  async function upload(grant: BlobGrant, request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      if (Number(request.headers['content-length'] ?? 0) > maxUploadBytes) {
        throw new CupolaError('blob_too_large', 'the announced body is too large');
      }
      const info = await disk.put(grant.kind, grant.key, request, maxUploadBytes);
      response.writeHead(201, { 'content-type': 'application/json' }).end(JSON.stringify(info));
    } catch (error) {
      if (!(error instanceof CupolaError && error.code === 'blob_too_large')) throw error;
      response.writeHead(413, { connection: 'close' }).end();
    }
  }

  return {
    blobs,
    handler: (request, response) => {
      answer(request, response).catch((error: unknown) => {
        log.warn('a blob could not be served', { method: request.method, error: messageOf(error) });
        if (response.headersSent) response.destroy();
        else response.writeHead(500, { connection: 'close' }).end();
      });
    },
    start: () => disk.start(),
    close: async () => {},
  };
}

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
