// How many log envelopes a second reach the cache, and whether any is lost.
//
//   node bench/log-ingest.ts [--envelopes 200000] [--batch 500] [--sources 100] [--port 24099]
//
// Read and put into the cache; protobuf over gRPC and mutual TLS from a sender with a thread of its own; and line by line through
// the sender of cells and routers, which has its own thread too. The processor time of receiver and sender is printed as well, which says
// more on a busy machine: with a processor for each, the larger one bounds how many pass. Batches are encoded before the clock starts, envelope by
// envelope, as a cell has them when it sends; making a message of each batch is counted in. Of lines all is counted in.
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { EnvelopeSender } from '../src/contracts/envelope-sender.ts';
import { EnvelopeReader, EnvelopeWriter } from '../src/contracts/envelope-wire.ts';
import { Ingress } from '../src/contracts/gen/loggregator_pb.js';
import type { EnvelopeInit } from '../src/contracts/log-envelopes.ts';
import { Logger } from '../src/kit/log.ts';
import { createRoot, issue } from '../src/kit/pki.ts';
import { client, remoteTransport, STREAM_WINDOW_BYTES, serveRpc } from '../src/kit/rpc.ts';
import { type Identity, LiveIdentity } from '../src/kit/tls.ts';
import { DEFAULT_LIMITS, LogCache } from '../src/loggregator/log-cache.ts';

const { values } = parseArgs({
  options: {
    envelopes: { type: 'string', default: '200000' },
    batch: { type: 'string', default: '500' },
    sources: { type: 'string', default: '100' },
    port: { type: 'string', default: '24099' },
  },
});
const total = Number(values.envelopes);
const batchSize = Number(values.batch);
const sources = Number(values.sources);
const url = `https://127.0.0.1:${values.port}`;
const log = new Logger('bench');

if (isMainThread) await measure();
else await sendAsWorker(workerData);

interface Sending {
  how: 'batches' | 'lines';
  identity: Identity;
}

async function measure(): Promise<void> {
  let cache = newCache();
  const reader = new EnvelopeReader();
  const put = (batch: readonly Uint8Array[]): void => cache.put(reader.read(batch));
  const batches = encodedBatches();
  await timed('read and put into the cache', async () => {
    for (const batch of batches) put(batch);
    return undefined;
  });

  const validity = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 3_600_000) };
  const root = await createRoot('bench', validity.notBefore, validity.notAfter);
  const identity = async (commonName: string): Promise<Identity> => ({
    ...(await issue({ ...root, isRoot: true }, { commonName, dnsNames: [commonName], ...validity })),
    ca: root.cert,
  });
  const server = await serveRpc({
    host: '127.0.0.1',
    port: Number(values.port),
    identity: new LiveIdentity(await identity('control')),
    peers: { [Ingress.typeName]: ['cell'] },
    routes: (router) =>
      router.service(Ingress, {
        send: ({ batch }) => {
          put(batch);
          return {};
        },
      }),
    streamWindowBytes: STREAM_WINDOW_BYTES,
    log,
  });
  const sender = await identity('cell');
  const from = async (how: Sending['how']): Promise<void> => {
    const worker = new Worker(new URL(import.meta.url), {
      workerData: { how, identity: sender } satisfies Sending,
      argv: process.argv.slice(2),
    });
    const { promise, resolve, reject } = Promise.withResolvers<() => void>();
    worker.once('message', () => resolve(() => worker.postMessage('go')));
    worker.once('error', reject);
    const go = await promise;
    cache = newCache();
    await timed(
      how === 'batches' ? 'sent by four senders over gRPC and mutual TLS' : 'offered to one sender, line by line',
      async () => {
        go();
        return new Promise<number>((done) => worker.once('message', done));
      },
    );
    await worker.terminate();
  };
  await from('batches');
  await from('lines');
  await server.close();
  process.exit(0);

  async function timed(name: string, body: () => Promise<number | undefined>): Promise<void> {
    const startedAt = performance.now();
    const before = process.threadCpuUsage();
    const sendersMicroseconds = await body();
    const { user, system } = process.threadCpuUsage(before);
    const seconds = (performance.now() - startedAt) / 1_000;
    let arrived = 0;
    for (const [, { count, expired }] of cache.meta()) arrived += count + expired;
    const perEnvelope = (microseconds: number) => `${(microseconds / total).toFixed(2)} µs`;
    const sender = sendersMicroseconds === undefined ? '' : `, ${perEnvelope(sendersMicroseconds)} of the sender's`;
    const each = `${perEnvelope(user + system)} of the receiver's processor time each${sender}`;
    console.log(`${name}: ${Math.round(total / seconds)} envelopes/s, ${each}, ${total - arrived} lost of ${total}`);
  }
}

async function sendAsWorker({ how, identity }: Sending): Promise<void> {
  const ingress = client(Ingress, remoteTransport(url, new LiveIdentity(identity), 'control', { timeoutMs: 30_000 }));
  const batches = how === 'batches' ? encodedBatches() : [];
  const lines = how === 'lines' ? envelopes() : [];
  const port = parentPort!;
  port.postMessage('ready');
  await new Promise((go) => port.once('message', go));
  const before = process.threadCpuUsage();
  if (how === 'batches') {
    let next = 0;
    const sender = async (): Promise<void> => {
      for (let n = next++; n < batches.length; n = next++) await ingress.send({ batch: batches[n]! });
    };
    await Promise.all(Array.from({ length: 4 }, sender));
  } else {
    const sender = new EnvelopeSender(ingress, log);
    for (const line of lines) {
      if (sender.full) await sender.room();
      sender.push(line);
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    sender.afterAll(resolve);
    await promise;
    await sender.close();
  }
  const { user, system } = process.threadCpuUsage(before);
  port.postMessage(user + system);
}

function envelopes(): EnvelopeInit[] {
  const payload = Buffer.from(`10.0.0.1 - - "GET /orders HTTP/1.1" 200 1532 ${'x'.repeat(80)}`);
  const from = BigInt(Date.now()) * 1_000_000n - BigInt(total) * 1_000n;
  const tags = Array.from({ length: sources }, () => ({
    source_type: 'APP/PROC/WEB',
    process_type: 'web',
    app_name: 'orders',
    space_name: 'production',
    organization_name: 'shop',
  }));
  return Array.from({ length: total }, (_, n) => ({
    timestampNs: from + BigInt(n) * 1_000n,
    sourceId: `00000000-0000-4000-8000-${String(n % sources).padStart(12, '0')}`,
    instanceId: '0',
    tags: tags[n % sources]!,
    message: { case: 'log' as const, value: { payload } },
  }));
}

function encodedBatches(): Uint8Array[][] {
  const writer = new EnvelopeWriter();
  const all = envelopes().map((envelope) => writer.write(envelope));
  return Array.from({ length: Math.ceil(total / batchSize) }, (_, n) => all.slice(n * batchSize, (n + 1) * batchSize));
}

function newCache(): LogCache {
  return new LogCache(DEFAULT_LIMITS, () => BigInt(Date.now()) * 1_000_000n);
}
