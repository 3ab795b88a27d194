import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { presentInstances, presentStats } from '../../../src/cloud-controller/processes/stats.ts';
import { ActualLrpSchema, InstanceStatsSchema } from '../../../src/contracts/gen/diego_pb.js';

const now = 1_700_000_100_000;
const since = (secondsAgo: number): bigint => BigInt(now / 1000 - secondsAgo) * 1_000_000_000n;
const process = {
  type: 'web',
  instances: 4,
  memoryMb: 64,
  diskMb: 128,
  logRateLimit: -1,
  fileDescriptors: 16384,
  isStarted: true,
  isolationSegment: null,
};
const lrp = (fields: Exclude<MessageInitShape<typeof ActualLrpSchema>, { $typeName: string }>) =>
  create(ActualLrpSchema, { ...fields, processGuid: 'p' });

test('each index has an entry: running, crashed, without a place, unknown', () => {
  const lrps = [
    lrp({
      index: 0,
      instanceGuid: 'a',
      state: 'RUNNING',
      sinceNs: since(100),
      hostAddress: '10.0.0.1',
      ports: [{ containerPort: 8080, hostTlsProxyPort: 61001 }],
    }),
    lrp({ index: 1, state: 'CRASHED', sinceNs: since(5), crashReason: 'exit 1' }),
    lrp({ index: 1, state: 'RUNNING', sinceNs: since(50) }),
    lrp({ index: 2, state: 'UNCLAIMED', sinceNs: since(7), placementError: 'insufficient resources: memory' }),
    lrp({ index: 9, state: 'RUNNING', sinceNs: since(7) }),
  ];
  const stats = [create(InstanceStatsSchema, { instanceGuid: 'a', cpuFraction: 0.25, memoryBytes: 1000n })];
  const views = presentStats(process, lrps, stats, now);
  assert.deepEqual(
    views.map((view) => [view['index'], view['state'], view['uptime'], view['routable'], view['details']]),
    [
      [0, 'RUNNING', 100, true, null],
      [1, 'CRASHED', 5, false, null],
      [2, 'DOWN', 7, false, 'insufficient resources: memory'],
      [3, 'DOWN', 0, null, null],
    ],
  );
  assert.deepEqual(views[0]!['usage'], {
    time: new Date(now).toISOString(),
    cpu: 0.25,
    cpu_entitlement: null,
    mem: 1000,
    disk: 0,
    log_rate: 0,
  });
  assert.deepEqual(views[0]!['instance_ports'], [
    { external: null, internal: 8080, external_tls_proxy_port: 61001, internal_tls_proxy_port: null },
  ]);
  assert.equal(views[0]!['mem_quota'], 64 * 1024 * 1024);
});

test('an instance that starts, by the place it has, and one that had a place and waits for another', () => {
  const lrps = [
    lrp({ index: 0, state: 'CLAIMED', sinceNs: since(3), instanceGuid: 'a' }),
    lrp({ index: 1, state: 'UNCLAIMED', sinceNs: since(4) }),
    lrp({ index: 2, state: 'CRASHED', sinceNs: since(6), placementError: 'found no compatible cell' }),
  ];
  const views = presentStats({ ...process, instances: 3, isolationSegment: 'secure' }, lrps, [], now);
  assert.deepEqual(
    views.map((view) => [view['state'], view['uptime'], view['routable'], view['details'], view['isolation_segment']]),
    [
      ['STARTING', 3, false, null, 'secure'],
      ['STARTING', 4, false, null, 'secure'],
      ['CRASHED', 6, false, 'found no compatible cell', 'secure'],
    ],
  );
});

test('how long each has been in its state is told where it is to run and is known of', () => {
  const lrps = [
    lrp({ index: 0, state: 'RUNNING', sinceNs: since(100) }),
    lrp({ index: 1, state: 'CRASHED', sinceNs: since(5), crashReason: 'exit 1' }),
    lrp({ index: 2, state: 'UNCLAIMED', sinceNs: since(7), placementError: 'insufficient resources: memory' }),
    lrp({ index: 9, state: 'RUNNING', sinceNs: since(9) }),
  ];
  assert.deepEqual(presentInstances(process, lrps, now), [
    { index: 0, state: 'RUNNING', since: 100 },
    { index: 1, state: 'CRASHED', since: 5 },
    { index: 2, state: 'DOWN', since: 7 },
    { index: 3, state: 'DOWN', since: null },
  ]);
  const scaledDown = presentInstances({ ...process, instances: 1 }, lrps, now);
  assert.deepEqual(
    scaledDown.map(({ index, state }) => [index, state]),
    [0, 1, 2].map((index) => [index, ['RUNNING', 'CRASHED', 'DOWN'][index]]).concat([[3, 'DOWN']]),
  );
});

test('what still runs of a stopped process is stopping, and for how long is not told', () => {
  const lrps = [lrp({ index: 0, state: 'RUNNING', sinceNs: since(9) })];
  assert.deepEqual(presentInstances({ ...process, instances: 2, isStarted: false }, lrps, now), [
    { index: 0, state: 'STOPPING', since: null },
    { index: 1, state: 'DOWN', since: null },
  ]);
});
