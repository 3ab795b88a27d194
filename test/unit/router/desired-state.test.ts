import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DesiredState, type DesiredStateOptions } from '../../../src/router/desired-state.ts';
import { byProcess } from '../../../src/router/process-routes.ts';
import { type AppEntry, routeEntry } from '../../support/request-path.ts';

const OPTIONS: DesiredStateOptions = {
  systemHosts: ['api.example.org'],
  poolSize: 10,
  http2Apps: true,
  previous: [],
};

async function desired(
  entries: AppEntry[],
  { occupied = new Set(), ...options }: Partial<DesiredStateOptions> & { occupied?: ReadonlySet<number> } = {},
) {
  const state = new DesiredState({ ...OPTIONS, ...options });
  await state.update(byProcess(entries.map((entry) => routeEntry(entry, 9443))), occupied);
  return {
    refused: state.refused,
    servedAsHttp1: state.servedAsHttp1,
    table: { ...state.table, pools: state.table.pools.toSorted((a, b) => a.slot - b.slot) },
  };
}

const web = (host: string, ...guids: string[]): AppEntry => ({
  host,
  instances: guids.map((guid, index) => ({ guid, index })),
});

test('RTR-03: a route is looked up by host and path, in lower case, and leads to the slot of its instances', async () => {
  const { table } = await desired([{ ...web('Web.Example.org', 'i1', 'i2'), path: '/V1' }]);
  assert.deepEqual([...table.routes], [['web.example.org/v1/', 0]]);
  assert.deepEqual(
    table.pools[0]!.servers.map(({ instanceGuid, port, index }) => [instanceGuid, port, index]),
    [
      ['i1', 9443, 0],
      ['i2', 9443, 1],
    ],
  );
});

test('a route without a running instance stays known, so that it answers 503 and not 404', async () => {
  assert.deepEqual([...(await desired([web('web.example.org')])).table.routes], [['web.example.org/', null]]);
});

test('apps on one route share its pool, and routes of one app share one pool', async () => {
  const blue = { ...web('web.example.org', 'b1'), app: 'blue' };
  const green = { ...web('web.example.org', 'g1'), app: 'green' };
  const both = (await desired([blue, green])).table;
  assert.equal(both.pools.length, 1);
  assert.deepEqual(
    both.pools[0]!.servers.map(({ instanceGuid, appGuid }) => [instanceGuid, appGuid]),
    [
      ['b1', 'blue-guid'],
      ['g1', 'green-guid'],
    ],
  );
  const aliases = (await desired([web('a.example.org', 'i1'), web('b.example.org', 'i1')])).table;
  assert.deepEqual(
    [...aliases.routes],
    [
      ['a.example.org/', 0],
      ['b.example.org/', 0],
    ],
  );
});

test('two routes of an app whose instances differ do not share a pool', async () => {
  const { table } = await desired([web('a.example.org', 'i1'), web('b.example.org', 'i2')]);
  assert.notEqual(table.routes.get('a.example.org/'), table.routes.get('b.example.org/'));
});

test('the instances of a pool keep their places; one that is new takes a place that is free', async () => {
  const places = async (before: string[], ...now: string[]) => {
    const previous = (await desired([web('a.example.org', ...before)])).table.pools;
    const { pools } = (await desired([web('a.example.org', ...now)], { previous })).table;
    return pools[0]!.servers.map(({ instanceGuid }) => instanceGuid);
  };
  assert.deepEqual(await places(['b', 'c', 'd'], 'a', 'b', 'c', 'd'), ['b', 'c', 'd', 'a']);
  assert.deepEqual(await places(['b', 'c', 'd'], 'a', 'c', 'd'), ['a', 'c', 'd']);
  assert.deepEqual(await places(['b', 'c', 'd', 'e'], 'c', 'd', 'e'), ['e', 'c', 'd']);
  assert.deepEqual(await places(['b', 'c', 'd', 'e'], 'c', 'd'), ['d', 'c']);
  assert.deepEqual(await places(['b', 'c'], 'x', 'y', 'z'), ['x', 'y', 'z']);
});

test('a pool keeps its slot when others come and go', async () => {
  const a = { ...web('a.example.org', 'a1'), app: 'a' };
  const b = { ...web('b.example.org', 'b1'), app: 'b' };
  const first = (await desired([b])).table;
  const second = (await desired([a, b], { previous: first.pools })).table;
  assert.equal(first.routes.get('b.example.org/'), second.routes.get('b.example.org/'));
});

test('a slot is given to another app only after HAProxy has emptied it', async () => {
  const a = { ...web('a.example.org', 'a1'), app: 'a' };
  const b = { ...web('b.example.org', 'b1'), app: 'b' };
  const first = (await desired([a])).table;
  const atOnce = (await desired([b], { previous: first.pools })).table;
  assert.equal(atOnce.routes.get('b.example.org/'), 1, 'HAProxy has not been told yet that the first one is gone');
  const second = (await desired([b], { previous: first.pools, occupied: new Set([0]) })).table;
  assert.equal(second.routes.get('b.example.org/'), 1);
  const c = { ...web('c.example.org', 'c1'), app: 'c' };
  const stillDraining = (await desired([b, c], { previous: second.pools, occupied: new Set([0, 1]) })).table;
  assert.equal(stillDraining.routes.get('c.example.org/'), 2);
  const emptied = (await desired([b, c], { previous: second.pools, occupied: new Set([1]) })).table;
  assert.equal(emptied.routes.get('c.example.org/'), 0);
});

test('SECURITY-TESTS 10: a route that claims a system host is not served, and the reason is told', async () => {
  const { table, refused } = await desired([
    web('API.example.org', 'i1'),
    { ...web('api.example.org', 'i1'), path: '/v3' },
    web('*.example.org', 'i1'),
  ]);
  assert.deepEqual([...table.routes.keys()], ['*.example.org/']);
  assert.equal(refused.length, 2);
  assert.match(refused[0]!.text, /claims the system host api\.example\.org/);
});

test('a host, path, name or address that could end a line or a word in HAProxy is not served', async () => {
  const hostile = ['a b.example.org', 'a.example.org\nx be-00001', 'a.example.org/x', 'a*.example.org', ''];
  const paths = ['/a b', '/a\nadd map', 'a', '/a?b', '/a#b', '/a\\b', '/\u00e4'];
  for (const host of hostile) assert.equal((await desired([web(host, 'i1')])).table.routes.size, 0, host);
  for (const path of paths) {
    assert.equal((await desired([{ ...web('a.example.org', 'i1'), path }])).table.routes.size, 0, path);
  }
  const { table, refused } = await desired([web('a.example.org', 'i1; disable server be-00000/x')]);
  assert.deepEqual(table.pools, []);
  assert.equal(refused.length, 1);
});

test('a pool that is used up leaves the other routes served and says so', async () => {
  const apps = ['a', 'b', 'c'].map((app) => ({ ...web(`${app}.example.org`, `${app}1`), app }));
  const { table, refused } = await desired(apps, { poolSize: 2 });
  assert.deepEqual([...table.routes.values()], [0, 1, null]);
  assert.deepEqual(
    refused.map(({ text, owners }) => [text, owners.map(({ appGuid }) => appGuid)]),
    [['c.example.org/ has no backend: the pool of 2 is used up', ['c-guid']]],
  );
});

test('routes that ask for HTTP/2 while it is off are served as http1, and named with their app', async () => {
  const entries = [{ ...web('a.example.org', 'i1'), protocol: 'http2' }, web('b.example.org', 'i2')];
  const http2Of = async (http2Apps: boolean) => {
    const { table, servedAsHttp1 } = await desired(entries, { http2Apps });
    return { servedAsHttp1, http2: table.pools.flatMap(({ servers }) => servers.map(({ http2 }) => http2)) };
  };
  assert.deepEqual(await http2Of(true), { servedAsHttp1: [], http2: [true, false] });
  assert.deepEqual(await http2Of(false), {
    servedAsHttp1: ['a.example.org of app app (app-guid)'],
    http2: [false, false],
  });
});
