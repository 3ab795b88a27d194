// How many log envelopes a second reach the cache, and whether any is lost.
//
//   node bench/log-ingest.ts [--envelopes 200000] [--batch 500] [--sources 100] [--port 24099]
//
// Straight into the cache; protobuf over gRPC and mutual TLS; and line by line through the sender of cells and routers. Sender
// and receiver are in this one process, and its processor time is printed as well: that of a busy machine says more.
import { parseArgs } from 'node:util';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { EnvelopeSender } from '../src/contracts/envelope-sender.ts';
import { type EnvelopeBatch, EnvelopeBatchSchema, Ingress } from '../src/contracts/gen/loggregator_pb.js';
import { Logger } from '../src/kit/log.ts';
import { createRoot, issue } from '../src/kit/pki.ts';
import { client, remoteTransport, serveRpc } from '../src/kit/rpc.ts';
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
const payload = Buffer.from(`10.0.0.1 - - "GET /orders HTTP/1.1" 200 1532 ${'x'.repeat(80)}`);

const encoded: Uint8Array[] = [];
const from = BigInt(Date.now()) * 1_000_000n - BigInt(total) * 1_000n;
for (let sent = 0; sent < total; sent += batchSize) {
  const batch = Array.from({ length: Math.min(batchSize, total - sent) }, (_, n) => ({
    timestampNs: from + BigInt(sent + n) * 1_000n,
    sourceId: `00000000-0000-4000-8000-${String((sent + n) % sources).padStart(12, '0')}`,
    instanceId: '0',
    tags: {
      source_type: 'APP/PROC/WEB',
      process_type: 'web',
      app_name: 'orders',
      space_name: 'production',
      organization_name: 'shop',
    },
    message: { case: 'log' as const, value: { payload } },
  }));
  encoded.push(toBinary(EnvelopeBatchSchema, create(EnvelopeBatchSchema, { batch })));
}
const decode = (bytes: Uint8Array): EnvelopeBatch => fromBinary(EnvelopeBatchSchema, bytes);
const newCache = (): LogCache => new LogCache(DEFAULT_LIMITS, () => BigInt(Date.now()) * 1_000_000n);

const direct = newCache();
await timed('decoded and put into the cache', direct, async () => {
  for (const bytes of encoded) direct.put(decode(bytes).batch);
});

let served = newCache();
const validity = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 3_600_000) };
const root = await createRoot('bench', validity.notBefore, validity.notAfter);
const identity = async (commonName: string) => ({
  ...(await issue({ ...root, isRoot: true }, { commonName, dnsNames: [commonName], ...validity })),
  ca: root.cert,
});
const log = new Logger('bench');
const server = await serveRpc({
  host: '127.0.0.1',
  port: Number(values.port),
  identity: await identity('control'),
  peers: { [Ingress.typeName]: ['cell'] },
  routes: (router) =>
    router.service(Ingress, {
      send: ({ batch }) => {
        served.put(batch);
        return {};
      },
    }),
  log,
});
const ingress = client(
  Ingress,
  remoteTransport(`https://127.0.0.1:${values.port}`, await identity('cell'), 'control', { timeoutMs: 30_000 }),
);
const batches = encoded.map(decode);
await timed('sent by four senders over gRPC and mutual TLS', served, async () => {
  let next = 0;
  const sender = async (): Promise<void> => {
    for (let n = next++; n < batches.length; n = next++) await ingress.send(batches[n]!);
  };
  await Promise.all(Array.from({ length: 4 }, sender));
});
served = newCache();
await timed('offered to one sender, line by line', served, async () => {
  const sender = new EnvelopeSender(ingress, log);
  for (const { batch } of batches) {
    for (const envelope of batch) {
      await sender.room();
      sender.push(envelope);
    }
  }
  const { promise, resolve } = Promise.withResolvers<void>();
  sender.afterAll(resolve);
  await promise;
  await sender.close();
});
await server.close();
process.exit(0);

async function timed(name: string, cache: LogCache, body: () => Promise<void>): Promise<void> {
  const startedAt = performance.now();
  const before = process.cpuUsage();
  await body();
  const { user, system } = process.cpuUsage(before);
  const seconds = (performance.now() - startedAt) / 1_000;
  let arrived = 0;
  for (const [, { count, expired }] of cache.meta()) arrived += count + expired;
  const each = `${((user + system) / total).toFixed(1)} µs of processor time each`;
  console.log(`${name}: ${Math.round(total / seconds)} envelopes/s, ${each}, ${total - arrived} lost of ${total}`);
}
