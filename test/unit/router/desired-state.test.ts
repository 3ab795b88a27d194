import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DesiredStateOptions, desiredState } from '../../../src/router/desired-state.ts';
import { type AppEntry, routeEntry } from '../../support/request-path.ts';

const OPTIONS: DesiredStateOptions = {
  systemHosts: ['api.example.org'],
  poolSize: 10,
  previous: [],
  occupied: new Set(),
};

function desired(entries: AppEntry[], options: Partial<DesiredStateOptions> = {}) {
  return desiredState(
    entries.map((entry) => routeEntry(entry, 9443)),
    { ...OPTIONS, ...options },
  );
}

const web = (host: string, ...guids: string[]): AppEntry => ({
  host,
  instances: guids.map((guid, index) => ({ guid, index })),
});

test('RTR-03: a route is looked up by host and path, in lower case, and leads to the slot of its instances', () => {
  const { table } = desired([{ ...web('Web.Example.org', 'i1', 'i2'), path: '/V1' }]);
  assert.deepEqual([...table.routes], [['web.example.org/v1/', 0]]);
  assert.deepEqual(
    table.pools[0]!.servers.map(({ instanceGuid, port, index }) => [instanceGuid, port, index]),
    [
      ['i1', 9443, 0],
      ['i2', 9443, 1],
    ],
  );
});

test('a route without a running instance stays known, so that it answers 503 and not 404', () => {
  assert.deepEqual([...desired([web('web.example.org')]).table.routes], [['web.example.org/', null]]);
});

test('apps on one route share its pool, and routes of one app share one pool', () => {
  const blue = { ...web('web.example.org', 'b1'), app: 'blue' };
  const green = { ...web('web.example.org', 'g1'), app: 'green' };
  const both = desired([blue, green]).table;
  assert.equal(both.pools.length, 1);
  assert.deepEqual(
    both.pools[0]!.servers.map(({ instanceGuid, appGuid }) => [instanceGuid, appGuid]),
    [
      ['b1', 'blue-guid'],
      ['g1', 'green-guid'],
    ],
  );
  const aliases = desired([web('a.example.org', 'i1'), web('b.example.org', 'i1')]).table;
  assert.deepEqual(
    [...aliases.routes],
    [
      ['a.example.org/', 0],
      ['b.example.org/', 0],
    ],
  );
});

test('two routes of an app whose instances differ do not share a pool', () => {
  const { table } = desired([web('a.example.org', 'i1'), web('b.example.org', 'i2')]);
  assert.notEqual(table.routes.get('a.example.org/'), table.routes.get('b.example.org/'));
});

test('a pool keeps its slot when others come and go', () => {
  const a = { ...web('a.example.org', 'a1'), app: 'a' };
  const b = { ...web('b.example.org', 'b1'), app: 'b' };
  const first = desired([b]).table;
  const second = desired([a, b], { previous: first.pools }).table;
  assert.equal(first.routes.get('b.example.org/'), second.routes.get('b.example.org/'));
});

test('a slot is given to another app only after HAProxy has emptied it', () => {
  const a = { ...web('a.example.org', 'a1'), app: 'a' };
  const b = { ...web('b.example.org', 'b1'), app: 'b' };
  const first = desired([a]).table;
  const second = desired([b], { previous: first.pools, occupied: new Set([0]) }).table;
  assert.equal(second.routes.get('b.example.org/'), 1);
  const c = { ...web('c.example.org', 'c1'), app: 'c' };
  const stillDraining = desired([b, c], { previous: second.pools, occupied: new Set([0, 1]) }).table;
  assert.equal(stillDraining.routes.get('c.example.org/'), 2);
  const emptied = desired([b, c], { previous: second.pools, occupied: new Set([1]) }).table;
  assert.equal(emptied.routes.get('c.example.org/'), 0);
});

test('SECURITY-TESTS 10: a route that claims a system host is not served, and the reason is told', () => {
  const { table, refused } = desired([
    web('API.example.org', 'i1'),
    { ...web('api.example.org', 'i1'), path: '/v3' },
    web('*.example.org', 'i1'),
  ]);
  assert.deepEqual([...table.routes.keys()], ['*.example.org/']);
  assert.equal(refused.length, 2);
  assert.match(refused[0]!, /claims the system host api\.example\.org/);
});

test('a host, path, name or address that could end a line or a word in HAProxy is not served', () => {
  const hostile = ['a b.example.org', 'a.example.org\nx be-00001', 'a.example.org/x', 'a*.example.org', ''];
  const paths = ['/a b', '/a\nadd map', 'a', '/a?b', '/a;b', '/a#b', '//'];
  for (const host of hostile) assert.equal(desired([web(host, 'i1')]).table.routes.size, 0, host);
  for (const path of paths) {
    assert.equal(desired([{ ...web('a.example.org', 'i1'), path }]).table.routes.size, 0, path);
  }
  const { table, refused } = desired([web('a.example.org', 'i1; disable server be-00000/x')]);
  assert.deepEqual(table.pools, []);
  assert.equal(refused.length, 1);
});

test('a pool that is used up leaves the other routes served and says so', () => {
  const apps = ['a', 'b', 'c'].map((app) => ({ ...web(`${app}.example.org`, `${app}1`), app }));
  const { table, refused } = desired(apps, { poolSize: 2 });
  assert.deepEqual([...table.routes.values()], [0, 1, null]);
  assert.match(refused[0]!, /pool of 2 backends is used up/);
});
