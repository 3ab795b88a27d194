import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import type { BlobTransport } from '../../../src/cell/rep/blob-transport.ts';
import { createBlobTransport } from '../../../src/cell/rep/blobs.ts';
import { type Blob, BlobSchema } from '../../../src/contracts/gen/diego_pb.js';
import { identityUnder, testRoot } from '../../support/identities.ts';

let transport: BlobTransport & { close(): void };
let url: string;
const wanted = new AbortController().signal;
let stop: () => void;
const blob = (path: string): Blob => create(BlobSchema, { url: `${url}${path}` });

before(async () => {
  const root = await testRoot();
  const { cert, key, ca } = await identityUnder(root, 'blobstore.cupola.internal');
  const server = createServer({ cert, key, ca }, async (request, response) => {
    if (request.method === 'PUT') {
      await text(request);
      return response.writeHead(201).end();
    }
    if (request.url === '/quick') return response.end('quick');
    response.write('the first of many'); // and no end
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  transport = createBlobTransport(await identityUnder(root, 'cell'), 'blobstore.cupola.internal');
  stop = () => {
    transport.close();
    server.closeAllConnections();
    server.close();
  };
});
after(() => stop());

test('SECURITY 32: droplets that nobody reads to their end hold up no other download and no upload', {
  timeout: 20_000,
}, async () => {
  const unread = await Promise.all(Array.from({ length: 40 }, () => transport.fetch(blob('/slow'), wanted)));
  assert.equal(await text(await transport.fetch(blob('/quick'), wanted)), 'quick');
  await transport.upload(blob('/upload'), Readable.from(['result']), undefined);
  for (const one of unread) one.destroy();
});
