import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderCellProxyConfig } from '../../../src/cell/proxy/index.ts';
import { cellProxySettingsOf, routerSettingsOf } from '../../../src/platform/cell-settings.ts';
import { layoutOf } from '../../../src/platform/layout.ts';
import { poolEntries, renderRouterConfig } from '../../../src/router/config.ts';
import { isRouteServer } from '../../../src/router/route-table.ts';
import { REPEAT_SERVER } from '../../../src/router/settings.ts';
import { testSettings } from '../../support/settings.ts';

const server = (instanceGuid: string, index: number) => ({
  ...{ instanceGuid, index, address: '10.0.0.1', port: 61_001, http2: false },
  ...{ appGuid: 'app', processGuid: 'web' },
});
const table = { pools: [{ slot: 0, key: 'app', servers: [server('one', 0), server('two', 1)] }], routes: new Map() };
const settings = { ...routerSettingsOf(layoutOf(testSettings()), 1_000), poolSize: 1 };
const serversOf = () =>
  renderRouterConfig(settings, table)
    .split('\nbackend be-00000 ')[1]!
    .split('\n')
    .filter((line) => line.startsWith('  server '))
    .map((line) => line.trim().split(' '));

test('no instance is left to the balance, which leads to the second half alone', () => {
  const [again, ...instances] = serversOf();
  assert.equal(again![1], REPEAT_SERVER);
  assert.ok(!again!.includes('weight'));
  assert.deepEqual(
    instances.map((words) => [words[1], words.slice(-2).join(' ')]),
    [
      ['one', 'weight 0'],
      ['two', 'weight 0'],
    ],
  );
});

test('a cell proxy says that nothing was begun as the routers of versions before know it', () => {
  const proxy = cellProxySettingsOf(layoutOf(testSettings()), 0, { uid: 1, gid: 1 }, 1_000);
  assert.equal(/return status (\d+) .* endpoint_failure/.exec(renderCellProxyConfig(proxy))?.[1], '425');
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
