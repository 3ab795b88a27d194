import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { PersistedRoutes } from '../../../src/router/persisted-routes.ts';
import { prepareRouter } from '../../../src/router/prepare.ts';
import { routesMapOf } from '../../../src/router/settings.ts';
import { temporaryDirectory } from '../../support/haproxy.ts';
import { routerSettings } from '../../support/settings.ts';

test('a router that begins has the routes of before without their instances; one that starts again has both', async () => {
  const directory = temporaryDirectory('router-prepare');
  try {
    const settings = routerSettings({
      runDirectory: `${directory.path}/run`,
      stateDirectory: `${directory.path}/state`,
      poolSize: 2,
    });
    const server = { instanceGuid: 'i1', address: '10.0.0.1', port: 443, http2: false, appGuid: 'a1', index: 0 };
    const routes = new Map([['a.example.org/', 1]]);
    await new PersistedRoutes(settings.stateDirectory).replace({
      pools: [{ slot: 1, key: 'a1', servers: [server] }],
      routes,
    });
    const prepared = async () => {
      const { configFile } = await prepareRouter(settings);
      const known = readFileSync(configFile, 'utf8').includes('server i1 10.0.0.1:443');
      return { known, map: readFileSync(routesMapOf(settings), 'utf8') };
    };
    assert.deepEqual(await prepared(), { known: false, map: 'a.example.org/ none\n' });
    assert.deepEqual(await prepared(), { known: true, map: 'a.example.org/ be-00001\n' });
  } finally {
    directory.remove();
  }
});
