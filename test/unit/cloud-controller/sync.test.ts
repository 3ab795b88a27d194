import assert from 'node:assert/strict';
import { test } from 'node:test';
import { syncDesiredLrps, type WantedLrp } from '../../../src/cloud-controller/diego/sync.ts';
import { lrpGuid } from '../../../src/cloud-controller/processes/lrp-guid.ts';
import { TestBbs } from '../../support/bbs.ts';
import { silentLog } from '../../support/postgresql.ts';

const guid = (digit: string): string =>
  `${digit.repeat(8)}-${digit.repeat(4)}-4${digit.repeat(3)}-8${digit.repeat(3)}-${digit.repeat(12)}`;
const APP = { guids: ['a'] };
const app = {
  appGuid: 'a',
  appName: 'n',
  spaceGuid: 's',
  spaceName: 's',
  organizationGuid: 'o',
  organizationName: 'o',
};

function wanted(processGuid: string, version: string, changes: Partial<WantedLrp> = {}): WantedLrp {
  return {
    lrpGuid: lrpGuid(processGuid, version),
    processGuid,
    appGuid: 'a',
    instances: 1,
    routes: [],
    egressRules: [],
    network: `routes-${changes.routes?.length ?? 0}`,
    names: { appName: 'n', spaceName: 's', organizationName: 'o' },
    renewal: '1',
    recipe: async () => ({
      app,
      processGuid,
      processType: 'web',
      version,
      memoryMb: 1,
      diskMb: 1,
      logRateLimit: -1,
      command: 'run',
      stack: 'debian12',
      placementTags: [],
      environment: {},
      healthCheck: { type: 'port', endpoint: null, timeout: null, invocationTimeout: null, interval: null },
      readinessCheck: { type: 'process', endpoint: null, invocationTimeout: null, interval: null },
      sidecars: [],
      ports: [8080],
      content: { droplet: { url: 'u', sha256: 's' } },
    }),
    ...changes,
  };
}

test('DGO-01: what is started is desired, what changed is updated, what stopped is removed', async () => {
  const bbs = new TestBbs();
  const [p, v1, v2] = [guid('1'), guid('2'), guid('3')];
  assert.deepEqual(await syncDesiredLrps(bbs.client, APP, async () => [wanted(p, v1)], silentLog), {
    desired: 1,
    updated: 0,
    removed: 0,
    failed: new Set(),
  });
  const route = { guid: 'r', host: 'a.b', path: '', port: 8080, protocol: 'http1' };
  await syncDesiredLrps(bbs.client, APP, async () => [wanted(p, v1, { instances: 3, routes: [route] })], silentLog);
  assert.equal(bbs.lrps.get(`${p}-${v1}`)?.instances, 3);
  assert.equal(bbs.lrps.get(`${p}-${v1}`)?.routes[0]?.host, 'a.b');

  bbs.calls.length = 0;
  await syncDesiredLrps(bbs.client, APP, async () => [wanted(p, v1, { instances: 3, routes: [route] })], silentLog);
  assert.deepEqual(bbs.calls, ['desiredLrps'], 'in step already: nothing is called');

  bbs.calls.length = 0;
  const renewed = wanted(p, v1, { instances: 3, routes: [route], renewal: '2' });
  await syncDesiredLrps(bbs.client, APP, async () => [renewed], silentLog);
  assert.deepEqual(bbs.calls, ['desiredLrps', 'desireLrp'], 'signed anew under the same guid');

  bbs.calls.length = 0;
  await syncDesiredLrps(bbs.client, APP, async () => [wanted(p, v2)], silentLog);
  assert.deepEqual([...bbs.lrps.keys()], [`${p}-${v2}`]);
  assert.deepEqual(bbs.calls, ['desiredLrps', 'desireLrp', 'removeDesiredLrp'], 'the new version comes first');

  await syncDesiredLrps(bbs.client, APP, async () => [], silentLog);
  assert.equal(bbs.lrps.size, 0);
});

test('one process that cannot be desired keeps its old version and does not hold up the rest', async () => {
  const bbs = new TestBbs();
  const [p, q, v1, v2] = [guid('1'), guid('4'), guid('2'), guid('3')];
  await syncDesiredLrps(bbs.client, APP, async () => [wanted(p, v1)], silentLog);
  const broken = wanted(p, v2, {
    recipe: async () => {
      throw new Error('no blob');
    },
  });
  const result = await syncDesiredLrps(bbs.client, APP, async () => [broken, wanted(q, v1)], silentLog);
  assert.deepEqual([[...result.failed], result.desired, result.removed], [['a'], 1, 0]);
  assert.deepEqual([...bbs.lrps.keys()].sort(), [`${p}-${v1}`, `${q}-${v1}`]);
});

test('what serves until its successor does is kept and updated, and never desired again', async () => {
  const bbs = new TestBbs();
  const [p, v1, v2] = [guid('1'), guid('2'), guid('3')];
  const route = { guid: 'r', host: 'a.b', path: '', port: 8080, protocol: 'http1' };
  await syncDesiredLrps(bbs.client, APP, async () => [wanted(p, v1, { instances: 2, routes: [route] })], silentLog);
  const old = bbs.lrps.get(`${p}-${v1}`);
  const outgoing = wanted(p, v1, {
    instances: 1,
    routes: [route],
    outgoing: true,
    renewal: '2',
    recipe: () => Promise.reject(new Error('it is not made anew')),
  });
  await syncDesiredLrps(bbs.client, APP, async () => [wanted(p, v2, { instances: 2 }), outgoing], silentLog);
  assert.deepEqual([...bbs.lrps.keys()].sort(), [`${p}-${v1}`, `${p}-${v2}`]);
  assert.equal(bbs.lrps.get(`${p}-${v1}`), old, 'the very same');
  assert.equal(old?.instances, 1);
  bbs.lrps.delete(`${p}-${v1}`);
  await syncDesiredLrps(bbs.client, APP, async () => [wanted(p, v2, { instances: 2 }), outgoing], silentLog);
  assert.deepEqual([...bbs.lrps.keys()], [`${p}-${v2}`]);
});

test('a rename is told to Diego alone: neither routes nor rules nor instances are touched, also of what only serves on', async () => {
  const bbs = new TestBbs();
  const [p, v1, v2] = [guid('1'), guid('2'), guid('3')];
  const outgoing = { outgoing: true, recipe: () => Promise.reject(new Error('it is not made anew')) } as const;
  await syncDesiredLrps(bbs.client, APP, async () => [wanted(p, v1), wanted(p, v2)], silentLog);
  const names = { appName: 'renamed', spaceName: 's', organizationName: 'other' };
  const renamed = async () => [wanted(p, v1, { names, ...outgoing }), wanted(p, v2, { names })];
  bbs.calls.length = 0;
  const result = await syncDesiredLrps(bbs.client, APP, renamed, silentLog);
  assert.deepEqual([result.updated, bbs.calls], [2, ['desiredLrps', 'updateDesiredLrp', 'updateDesiredLrp']]);
  for (const { processGuid, names: told, ...rest } of bbs.updates) {
    assert.ok(bbs.lrps.has(processGuid));
    assert.deepEqual([told?.appName, told?.spaceName, told?.organizationName], ['renamed', 's', 'other']);
    assert.deepEqual(
      [rest.instances, rest.annotation, rest.setRoutes, rest.setEgressRules],
      [undefined, undefined, false, false],
    );
  }
  bbs.calls.length = 0;
  await syncDesiredLrps(bbs.client, APP, renamed, silentLog);
  assert.deepEqual(bbs.calls, ['desiredLrps'], 'told once');
});
