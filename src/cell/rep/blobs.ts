import { Agent, request } from 'node:https';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { CupolaError } from '../../kit/errors.ts';
import { type Identity, onIdentityReplaced, tlsOptions } from '../../kit/tls.ts';
import type { BlobTransport } from './blob-transport.ts';

/** The blobstore over mutual TLS; whatever host the URL names, its certificate must be `serverName`'s. Follows a live identity. */
export function createBlobTransport(identity: Identity, serverName: string): BlobTransport & { close(): void } {
  // As many connections at once as there are starts and stagings: with a bound, a few apps that are slow to unpack would hold up all others.
  const make = () =>
    new Agent({ ...tlsOptions(identity), servername: serverName, keepAlive: true, maxFreeSockets: 16 });
  let agent = make();
  const end = onIdentityReplaced(identity, () => {
    // The old one keeps no idle connection; what it carries ends there.
    agent.options.keepAlive = false;
    agent = make();
  });
  return {
    async fetch(blob, signal) {
      const { promise, resolve, reject } = Promise.withResolvers<Readable>();
      const call = request(blob.url, { agent, signal }, (response) => {
        if (response.statusCode === 200) {
          resolve(response);
        } else {
          response.destroy(); // what it says is not waited for
          reject(new CupolaError('blob_unavailable', `the blobstore answered ${response.statusCode}`));
        }
      });
      // The URL is a secret of its own: it stays out of the message.
      call.on('error', (cause) =>
        reject(new CupolaError('blob_unavailable', 'the blobstore gave no answer', { cause })),
      );
      call.end();
      return promise;
    },
    async upload(blob, body, bytes, signal) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const headers = {
        'content-type': 'application/octet-stream',
        ...(bytes === undefined ? {} : { 'content-length': bytes }),
      };
      const call = request(blob.url, { agent, method: 'PUT', headers, signal }, (response) => {
        response.destroy();
        const status = response.statusCode ?? 0;
        if (status >= 200 && status < 300) resolve();
        else reject(new CupolaError('blob_not_stored', `the blobstore answered ${status}`));
      });
      const failed = (cause: unknown) =>
        reject(new CupolaError('blob_not_stored', 'the blobstore did not take the upload', { cause }));
      call.on('error', failed);
      pipeline(body, call).catch(failed);
      return promise;
    },
    close: () => {
      end();
      agent.destroy();
    },
  };
}
