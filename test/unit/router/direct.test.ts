import assert from 'node:assert/strict';
import { test } from 'node:test';
import { routerSettingsOf } from '../../../src/platform/cell-settings.ts';
import { layoutOf } from '../../../src/platform/layout.ts';
import { poolEntries, renderRouterConfig } from '../../../src/router/config.ts';
import { haproxyIsDirect } from '../../../src/router/index.ts';
import { isRouteServer } from '../../../src/router/route-table.ts';
import { REPEAT_SERVER } from '../../../src/router/settings.ts';
import { testSettings } from '../../support/settings.ts';

/* What HAProxy does with it is tested on HAProxy 3.2 where there is one: CUPOLA_TEST_HAPROXY names it. */
const server = (instanceGuid: string, index: number) => ({
  ...{ instanceGuid, index, address: '10.0.0.1', port: 61_001, http2: false },
  ...{ appGuid: 'app', processGuid: 'web' },
});
const table = { pools: [{ slot: 0, key: 'app', servers: [server('one', 0), server('two', 1)] }], routes: new Map() };
const settings = { ...routerSettingsOf(layoutOf(testSettings()), 1_000), poolSize: 1 };
const serversOf = (direct: boolean) =>
  renderRouterConfig({ ...settings, direct }, table)
    .split('\nbackend be-00000 ')[1]!
    .split('\n')
    .filter((line) => line.startsWith('  server '))
    .map((line) => line.trim().split(' '));

test('requests go to instances at once with HAProxy 3.2 and newer, and with none before', () => {
  const said = (version: string) => haproxyIsDirect(`HAProxy version ${version} 2026/10/14 - https://haproxy.org/`);
  assert.deepEqual(['2.6.12-1+deb12u4', '3.0.11-1', '3.1.9', '3.2.26-1', '3.10.0', '4.0.1'].map(said), [
    ...[false, false, false],
    ...[true, true, true],
  ]);
  assert.equal(haproxyIsDirect('what is no version'), false);
});

test('no instance is left to the balance, which leads to the second half alone', () => {
  const [again, ...instances] = serversOf(true);
  assert.equal(again![1], REPEAT_SERVER);
  assert.ok(!again!.includes('weight'));
  assert.deepEqual(
    instances.map((words) => [words[1], words.slice(-2).join(' ')]),
    [
      ['one', 'weight 0'],
      ['two', 'weight 0'],
    ],
  );
  assert.ok(serversOf(false).every((words) => words[1] !== REPEAT_SERVER && !words.includes('weight')));
});

test('SECURITY-TESTS 7: no instance can take the place of the way to the second half', () => {
  assert.equal(isRouteServer(server(REPEAT_SERVER, 0)), false);
});

test('each instance of a pool is found by its number, a single one too', () => {
  const numbered = (servers: ReturnType<typeof server>[]) =>
    [...poolEntries(0, servers)].filter(([key]) => /^be-00000\/(\d+|instances)$/.test(key));
  assert.deepEqual(numbered([server('one', 0)]), [['be-00000/0', 'one']]);
  assert.deepEqual(numbered([server('one', 0), server('two', 1)]), [
    ['be-00000/instances', '2'],
    ['be-00000/0', 'one'],
    ['be-00000/1', 'two'],
  ]);
});
