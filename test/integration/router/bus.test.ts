import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ask as send } from '../../support/http-client.ts';
import { type RequestPath, routeEntry, startRequestPath } from '../../support/request-path.ts';

let path: RequestPath;

before(async () => {
  path = await startRequestPath({ firstPort: 21320, prefix: 'router-bus', intervalMs: 500 });
  for (const name of ['one', 'two']) {
    const { port } = await path.startBackend((_, response) => response.end(name));
    await path.registerInstance(`inst-${name}`, port);
  }
});
after(() => path.close());

const ask = () => send({ host: 'app.cupola.test', port: path.httpsPort, ca: path.pki.routerRoot.cert });
const app = (name: string) => ({ host: 'app.cupola.test', instances: [{ guid: `inst-${name}`, index: 0 }] });

test('SECURITY-TESTS 34: losing the bus keeps the routes, and what changes comes all the same, later', async () => {
  await path.setRoutes(app('one'));
  await path.loseBus();
  for (let count = 0; count < 10; count += 1) assert.equal((await ask()).body, 'one');
  path.state.entries = [routeEntry(app('two'), path.cellPort)];
  await path.until('the change', async () => (await ask()).body === 'two');
});
