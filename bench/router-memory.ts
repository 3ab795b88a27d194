// What 100,000 routes cost the process that drives the router: its memory once they are in place, beside what it had before, by what
// the collector finds and by what the machine counts. The BBS answers out of numbers and keeps nothing.
//
//   node --expose-gc bench/router-memory.ts [routes, default 100000]       needs root, as the tests do
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import {
  Bbs,
  OwnerSchema,
  RouteEndpointSchema,
  RouteEntrySchema,
  RouteSchema,
  RoutingFingerprintsResponseSchema,
  RoutingTableResponseSchema,
} from '../src/contracts/gen/diego_pb.js';
import { Ingress } from '../src/contracts/gen/loggregator_pb.js';
import { LocalBus } from '../src/kit/bus.ts';
import { Logger } from '../src/kit/log.ts';
import { client, inMemoryTransport } from '../src/kit/rpc.ts';
import { createRouter } from '../src/router/index.ts';
import { startHaproxyAndItsDirectories } from './router-foundation.ts';

const COUNT = Number(process.argv[2] ?? 100_000);
/** So many apps have an instance that is ready: a router has 2,000 backends. */
const READY = 1_900;
const INSTANCES = 3;

const guid = (n: number) => `${n.toString(16).padStart(8, '0')}-aaaa-4bbb-8ccc-${n.toString(16).padStart(12, '0')}`;

/** As an LRP's entry comes over the wire: each with strings of its own. */
function entryOf(n: number) {
  const own = (text: string) => Buffer.from(text).toString();
  return create(RouteEntrySchema, {
    route: create(RouteSchema, {
      guid: own(`route-${guid(n)}`),
      host: own(`app-${n}.apps.bench.test`),
      port: 8080,
      protocol: own('http1'),
    }),
    owner: create(OwnerSchema, {
      appGuid: own(`1${guid(n)}`),
      appName: own(`app ${n}`),
      spaceGuid: own(`2${guid(n % 400)}`),
      spaceName: own(`space ${n % 400}`),
      organizationGuid: own(`3${guid(n % 40)}`),
      organizationName: own(`organization ${n % 40}`),
      processGuid: own(`1${guid(n)}`),
      processType: own('web'),
    }),
    endpoints: Array.from({ length: n < READY ? INSTANCES : 0 }, (_, index) =>
      create(RouteEndpointSchema, {
        instanceGuid: own(`i${index}-${guid(n)}`),
        index,
        address: own('127.0.0.1'),
        port: 61_001,
      }),
    ),
    processGuid: own(guid(n)),
    fingerprint: (BigInt(n) * 0x9e3779b97f4a7c15n) & 0xffff_ffff_ffff_ffffn,
  });
}

const numberOf = (after: string) => (after === '' ? 0 : Number.parseInt(after.slice(0, 8), 16) + 1);
const transport = inMemoryTransport((routes) => {
  routes.service(Bbs, {
    routingTable: ({ atMost, after, processGuids }) => {
      if (processGuids.length > 0)
        return create(RoutingTableResponseSchema, { entries: processGuids.map((one) => entryOf(numberOf(one) - 1)) });
      const first = numberOf(after);
      const end = Math.min(COUNT, first + atMost);
      const entries = Array.from({ length: end - first }, (_, at) => entryOf(first + at));
      return create(RoutingTableResponseSchema, { entries, last: end < COUNT ? guid(end - 1) : '' });
    },
    routingFingerprints: () => create(RoutingFingerprintsResponseSchema, { fingerprints: [], last: '' }),
  });
  routes.service(Ingress, { send: () => ({}) });
});

function memory(): { heap: number; resident: number } {
  globalThis.gc?.();
  globalThis.gc?.();
  const pss = /^Pss:\s+(\d+)/m.exec(readFileSync('/proc/self/smaps_rollup', 'utf8'))?.[1];
  return { heap: process.memoryUsage().heapUsed / 1e6, resident: Number(pss) / 1024 };
}

const { directory, settings, engine } = await startHaproxyAndItsDirectories();
const bus = new LocalBus();
const router = createRouter({
  settings,
  bbs: client(Bbs, transport),
  ingress: client(Ingress, transport),
  bus,
  log: new Logger('bench', {}, () => {}),
  intervalMs: 3_600_000,
});
try {
  await sleep(500);
  const before = memory();
  const startedAt = performance.now();
  await router.start();
  let peak = 0;
  while (router.status().convergedAt === null) {
    peak = Math.max(peak, process.memoryUsage().rss / 1e6);
    await sleep(20);
  }
  const ms = performance.now() - startedAt;
  await sleep(10_000); // so long the collector takes to give back what loading took
  const after = memory();
  console.log(`${COUNT} routes, ${router.status().instances} instances in place after ${ms.toFixed(0)} ms`);
  const line = (name: string, { heap, resident }: { heap: number; resident: number }) =>
    console.log(
      `${name.padEnd(10)} ${heap.toFixed(1).padStart(8)} MB of objects ${resident.toFixed(1).padStart(8)} MB of the machine`,
    );
  line('before', before);
  line('after', after);
  line('cost', { heap: after.heap - before.heap, resident: after.resident - before.resident });
  console.log(`while it was loaded at most ${peak.toFixed(0)} MB`);
} finally {
  await router.close();
  await bus.close();
  await engine.kill('SIGKILL');
  directory.remove();
}
