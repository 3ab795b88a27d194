import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { HaproxySocket } from '../../../src/kit/haproxy.ts';
import { HaproxyDriver } from '../../../src/router/haproxy-driver.ts';
import { readPersistedRoutes } from '../../../src/router/persisted-routes.ts';
import { REPEAT_SERVER } from '../../../src/router/settings.ts';
import { ask as send } from '../../support/http-client.ts';
import { type AppEntry, type RequestPath, startRequestPath } from '../../support/request-path.ts';

/*
 * An event names LRPs, and HAProxy is told what changes with them. A mark in its map shows which way it went: only where all of it is
 * compared and told again is the mark gone.
 */
let path: RequestPath;
let haproxy: HaproxySocket;
const MARK = 'mark.cupola.test/';
const names = ['one', 'two', 'three', 'slow'];

before(async () => {
  path = await startRequestPath({ firstPort: 21420, prefix: 'router-changes', intervalMs: 3_600_000 });
  haproxy = new HaproxySocket(path.settings.sockets.driver);
  for (const name of names) {
    const { port } = await path.startBackend((_, response) => {
      setTimeout(() => response.end(name), name === 'slow' ? 700 : 1);
    });
    await path.registerInstance(`inst-${name}`, port);
  }
});
after(() => path.close());

const routes = () => `${path.settings.runDirectory}/routes.map`;
const instances = () => `${path.settings.runDirectory}/instances.map`;
const ask = (host = 'app.cupola.test', url = '/', headers: Record<string, string> = {}) =>
  send({ host, port: path.httpsPort, path: url, headers, ca: path.pki.routerRoot.cert });
const app = (...guids: string[]): AppEntry => ({
  host: 'app.cupola.test',
  instances: guids.map((name) => ({ guid: `inst-${name}`, index: names.indexOf(name) })),
});
const other: AppEntry = { host: 'other.cupola.test', app: 'other', instances: [{ guid: 'inst-three', index: 0 }] };
const table = () => `${path.settings.stateDirectory}/routes.json`;

/** The mark, set now, is still there after `body`. */
async function staysMarked(body: () => Promise<unknown>): Promise<boolean> {
  if (!(await haproxy.map(routes())).has(MARK)) await haproxy.addToMap(routes(), [[MARK, 'none']]);
  await body();
  return (await haproxy.map(routes())).has(MARK);
}

/** What the maps hold is what a comparison of everything makes of them, in the same HAProxy and in one that starts from the files. */
async function isAsIfComparedWhole(): Promise<void> {
  const sorted = async () =>
    [...(await haproxy.map(routes())), ...(await haproxy.map(instances()))].filter(([key]) => key !== MARK).sort();
  const followed = await sorted();
  const { table: written } = await readPersistedRoutes(path.settings.stateDirectory, path.settings.poolSize);
  const fromFile = [...written.routes.keys()].sort();
  assert.deepEqual(
    fromFile,
    followed.map(([key]) => key).filter((key) => fromFile.includes(key)),
  );
  await path.engines.router.kill('SIGKILL');
  await path.restartRouterProxy();
  assert.deepEqual(await sorted(), followed);
  await path.converged();
  assert.deepEqual(await sorted(), followed);
}

test('a named LRP alone is asked for, and HAProxy is told its servers and entries alone', async () => {
  await path.setRoutes(app('one'), other);
  const whole = statSync(table());
  assert.equal(
    await staysMarked(async () => {
      assert.deepEqual(await path.changeApps(['app'], app('one', 'two')), ['app-lrp']);
    }),
    true,
  );
  const seen = new Set<string>();
  for (let count = 0; count < 6; count += 1) seen.add((await ask()).body);
  assert.deepEqual([...seen].sort(), ['one', 'two']);
  assert.equal((await ask('app.cupola.test', '/', { 'X-CF-App-Instance': 'app-guid:1' })).body, 'two');
  assert.equal((await ask('other.cupola.test')).body, 'three');
  assert.deepEqual([statSync(table()).ino, statSync(table()).mtimeMs], [whole.ino, whole.mtimeMs]);
  await isAsIfComparedWhole();
});

test('routes come, move and go by name, those with a semicolon too', async () => {
  await path.setRoutes(app('one'), other);
  const odd = { ...app('one'), path: '/par;m=1' };
  assert.equal(await staysMarked(() => path.changeApps(['app'], app('one'), odd)), true);
  assert.equal((await ask('app.cupola.test', '/par;m=1')).body, 'one');
  const moved = { ...odd, app: 'other', instances: other.instances };
  assert.equal(await staysMarked(() => path.changeApps(['app', 'other'], app('one'), other, moved)), true);
  assert.equal((await ask('app.cupola.test', '/par;m=1')).body, 'three');
  assert.equal((await ask()).body, 'one');
  assert.equal(await staysMarked(() => path.changeApps(['other'])), true);
  assert.equal((await ask('app.cupola.test', '/par;m=1')).body, 'one');
  assert.equal((await ask('other.cupola.test')).status, 404);
  await isAsIfComparedWhole();
});

test('a crash takes the instance alone away; the last one leaves its route known, and unavailable', async () => {
  await path.setRoutes(app('one', 'two', 'three'));
  assert.equal(await staysMarked(() => path.changeApps(['app'], app('one', 'three'))), true);
  assert.equal((await ask('app.cupola.test', '/', { 'X-CF-App-Instance': 'app-guid:1' })).status, 400);
  assert.equal((await ask('app.cupola.test', '/', { 'X-CF-App-Instance': 'app-guid:2' })).body, 'three');
  await isAsIfComparedWhole();
  assert.equal(await staysMarked(() => path.changeApps(['app'], app())), true);
  assert.equal((await ask()).headers['x-cf-routererror'], 'no_endpoints');
  await isAsIfComparedWhole();
});

test('instances come and go by name under load without a failed request', async () => {
  await path.setRoutes(app('one'));
  const failures: string[] = [];
  let running = true;
  let count = 0;
  const client = async () => {
    while (running) {
      const { status, body } = await ask();
      if (status !== 200) failures.push(`${status} ${body}`);
      count += 1;
    }
  };
  const clients = [client(), client()];
  const marked = await staysMarked(async () => {
    for (const guids of [['one', 'two'], ['two'], ['two', 'three', 'one'], ['three'], ['one', 'three'], ['one']])
      await path.changeApps(['app'], app(...guids));
    // Another route of the app comes first now, and each has instances of its own: the pools change places.
    await path.changeApps(['app'], app('one'), { ...app('two'), host: 'a.cupola.test' });
    await path.changeApps(['app'], app('two'));
  });
  running = false;
  await Promise.all(clients);
  assert.deepEqual(failures, []);
  assert.equal(marked, true);
  assert.ok(count > 20, `only ${count} requests`);
});

const serversOf = async (backend: string) =>
  (await haproxy.servers([backend])).map(({ name }) => name).filter((name) => name !== REPEAT_SERVER);

test('an instance that still answers is looked after without a list of all servers, and its slot is free when it is gone', async () => {
  await path.setRoutes(app('slow'));
  await path.until('the end of what came and went', async () => (await serversOf('be-00001')).length === 0);
  const slow = ask();
  await new Promise((resolve) => setTimeout(resolve, 150));
  await path.changeApps(['app']);
  await path.changeApps(['other'], other);
  const slotOf = async (key: string) => (await haproxy.map(routes())).get(key);
  assert.equal(await slotOf('other.cupola.test/'), 'be-00001', 'the other slot still has a server');
  assert.equal(await staysMarked(async () => assert.equal((await slow).body, 'slow')), true);
  await path.until('the end of the instance', async () => !(await serversOf('be-00000')).includes('inst-slow'));
  assert.ok((await haproxy.map(routes())).has(MARK));
  await path.changeApps(['app'], app('one'));
  assert.equal(await slotOf('app.cupola.test/'), 'be-00000');
});

test('what is known of a HAProxy is known of that process alone', async () => {
  await path.setRoutes(app('one'), other);
  await path.stopDriver();
  const driver = new HaproxyDriver(path.settings, haproxy, path.log);
  const { table: written } = await readPersistedRoutes(path.settings.stateDirectory, path.settings.poolSize);
  assert.equal(await driver.isKnown(), false);
  await driver.converge(written, await driver.look());
  assert.equal(await driver.isKnown(), true);
  await path.replaceRouterProxy();
  assert.equal(await driver.isKnown(), false);
  await path.startDriver();
});

test('a HAProxy that refuses a change is compared whole', async () => {
  await path.setRoutes(app('one'), other);
  await haproxy.tell(`del map ${routes()} other.cupola.test/`);
  assert.equal(await staysMarked(() => path.changeApps(['other'])), false);
  assert.equal((await ask('other.cupola.test')).status, 404);
  assert.ok(path.lines.some((line) => line.includes('HAProxy refused')));
});

test('what could not be asked for by name is asked for whole, once the BBS answers', async () => {
  await path.setRoutes(app('one'), other);
  path.state.bbsAnswers = false;
  await path.changeApps(['app'], app('two'));
  assert.equal((await ask()).body, 'one');
  path.state.bbsAnswers = true;
  await path.until('the change', async () => (await ask()).body === 'two');
});

test('what is wanted is written down where HAProxy cannot be told', async () => {
  await path.setRoutes(app('one'), other);
  await path.engines.router.kill('SIGKILL');
  const { times } = path.asked;
  const told = path.changeApps(['app'], app('two'));
  await path.until('the question', () => path.asked.times > times);
  await path.until('the table', () => readFileSync(table(), 'utf8').includes('inst-two'));
  // What changes after rounds that failed, too.
  await path.until('a failed round', () => path.router.status().problem !== null);
  const toldNext = path.changeApps(['other'], { ...other, instances: [{ guid: 'inst-one', index: 0 }] });
  const isWritten = async () => {
    const { settings } = path;
    const { table: written } = await readPersistedRoutes(settings.stateDirectory, settings.poolSize);
    return (
      written.pools.filter(({ servers }) => servers.some(({ instanceGuid }) => instanceGuid === 'inst-one')).length ===
      1
    );
  };
  for (const deadline = Date.now() + 10_000; !(await isWritten()); ) {
    assert.ok(Date.now() < deadline, 'the next change is written down');
    await delay(50);
  }
  await path.restartRouterProxy();
  assert.equal((await ask()).body, 'two');
  assert.equal((await ask('other.cupola.test')).body, 'one');
  await told;
  await toldNext;
});

test('an event that names no LRP asks for nothing', async () => {
  await path.setRoutes(app('one'), other);
  const { times } = path.asked;
  path.publish({ processGuids: [] });
  assert.deepEqual(await path.changeApps(['app'], app('two')), ['app-lrp']);
  assert.equal(path.asked.times, times + 1);
});
