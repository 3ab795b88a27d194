import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { HaproxySocket } from '../../../src/kit/haproxy.ts';
import { REPEAT_SERVER } from '../../../src/router/settings.ts';
import { ask as send } from '../../support/http-client.ts';
import { type RequestPath, routeEntry, startRequestPath } from '../../support/request-path.ts';

/*
 * What the timer's comparisons find: what no event told, by fingerprints; and what somebody else did to HAProxy, some of the slots each time.
 */
let path: RequestPath;
let haproxy: HaproxySocket;
const INTERVAL_MS = 100;
/** Of comparisons, after which every slot was looked at. */
const CHECKS = 20;
const names = ['one', 'two'];

before(async () => {
  path = await startRequestPath({ firstPort: 21440, prefix: 'router-comparisons', intervalMs: INTERVAL_MS });
  haproxy = new HaproxySocket(path.settings.sockets.driver);
  for (const name of names) {
    const { port } = await path.startBackend((_, response) => response.end(name));
    await path.registerInstance(`inst-${name}`, port);
  }
});
after(() => path.close());

const ask = (host: string) => send({ host, port: path.httpsPort, ca: path.pki.routerRoot.cert });
const app = (host: string, name: string) => ({
  host: `${host}.cupola.test`,
  app: host,
  instances: [{ guid: `inst-${name}`, index: 0 }],
});
const states = async (backend: string) =>
  (await haproxy.servers([backend]))
    .filter(({ name }) => name !== REPEAT_SERVER)
    .map(({ name, port, inMaintenance }) => [name, port, inMaintenance]);

test('what no event told is asked for by name, and nothing else is', async () => {
  await path.setRoutes(app('a', 'one'), app('b', 'one'), app('c', 'one'));
  path.state.entries = [app('a', 'one'), app('b', 'two')].map((entry) => routeEntry(entry, path.cellPort));
  await path.until('the change', async () => (await ask('b.cupola.test')).body === 'two');
  assert.deepEqual([...path.asked.for].sort(), ['b-lrp', 'c-lrp']);
  assert.equal((await ask('c.cupola.test')).status, 404);
});

test('the routes stay while the BBS gives no fingerprints, and follow once it does', async () => {
  await path.setRoutes(app('a', 'one'));
  path.state.bbsAnswers = false;
  path.state.entries = [];
  await path.until('the answer that is missing', () => !path.router.status().bbsAnswers);
  assert.equal((await ask('a.cupola.test')).body, 'one');
  path.state.bbsAnswers = true;
  await path.until('the change', async () => (await ask('a.cupola.test')).status === 404);
  assert.equal(path.router.status().bbsAnswers, true);
});

test(`a slot that somebody else changed is mended within ${CHECKS} comparisons, whichever it is`, async () => {
  await path.setRoutes(app('a', 'one'), app('b', 'two'));
  for (const host of ['a', 'b'])
    await path.until('the route', async () => (await ask(`${host}.cupola.test`)).status === 200);
  const slotOf = async (host: string) => (await haproxy.map(`${path.settings.runDirectory}/routes.map`)).get(host)!;
  const [a, b] = [await slotOf('a.cupola.test/'), await slotOf('b.cupola.test/')];
  const last = `be-000${path.settings.poolSize - 1}`;
  const [mineA, mineB] = [await states(a), await states(b)];
  await haproxy.tell(`set server ${a}/inst-one state maint`);
  await haproxy.tell(`del server ${a}/inst-one`, /deleted/);
  await haproxy.tell(`set server ${b}/inst-two addr 127.0.0.1 port 1`, /changed from/);
  await haproxy.tell(`add server ${last}/planted 127.0.0.1:1`, /registered/);
  let rounds = 0;
  let seen = path.router.status().convergedAt;
  await path.until('every slot', async () => {
    const { convergedAt } = path.router.status();
    if (convergedAt !== seen) rounds += 1;
    seen = convergedAt;
    return (
      JSON.stringify([await states(a), await states(b), await states(last)]) === JSON.stringify([mineA, mineB, []])
    );
  });
  // Each time the fingerprints are compared and a part of the slots is.
  assert.ok(rounds <= 2 * CHECKS + 2, `${rounds} rounds`);
  assert.equal((await ask('a.cupola.test')).body, 'one');
  assert.equal((await ask('b.cupola.test')).body, 'two');
  assert.ok(path.lines.some((line) => line.includes('not as they were left')));
});
