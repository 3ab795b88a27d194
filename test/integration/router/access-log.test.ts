import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Envelope } from '../../../src/contracts/gen/loggregator_pb.js';
import { ask as send } from '../../support/http-client.ts';
import { type RequestPath, routeEntry, startRequestPath } from '../../support/request-path.ts';

let path: RequestPath;

before(async () => {
  path = await startRequestPath({ firstPort: 21250, prefix: 'router-log' });
  const { port } = await path.startBackend((request, response) => {
    response.statusCode = request.url === '/teapot' ? 418 : 200;
    response.end('x'.repeat(100));
  });
  await path.registerInstance('inst-app', port);
  await path.startControl(new Map([['api.cupola.test', (_, response) => response.end('API')]]));
  await path.setRoutes(
    { host: 'app.cupola.test', app: 'app', instances: [{ guid: 'inst-app', index: 4 }] },
    { host: 'dead.cupola.test', app: 'dead', instances: [{ guid: 'inst-dead', index: 0 }] },
  );
});
after(() => path.close());

const ask = (host: string, url: string, headers: Record<string, string> = {}) =>
  send({ host, port: path.httpsPort, path: url, headers, ca: path.pki.routerRoot.cert });
const text = ({ message }: Envelope) =>
  message.case === 'log' ? Buffer.from(message.value.payload).toString('utf8') : '';
const lineWith = async (part: string) => {
  await path.until(
    `a line with ${part}`,
    () => path.envelopes.some((envelope) => text(envelope).includes(part)),
    20_000,
  );
  return path.envelopes.find((envelope) => text(envelope).includes(part))!;
};

test('LOG-01: a request is a line of its app, with the app\u2019s tags', async () => {
  const own = { 'User-Agent': 'test/1', Referer: 'https://from.example.org/' };
  await path.until('the app answers', async () => (await ask('app.cupola.test', '/teapot', own)).status === 418);
  const envelope = await lineWith('/teapot');
  assert.match(
    text(envelope),
    /^app\.cupola\.test - \[\d{4}-\d\d-\d\dT[\d:.]+Z\] "GET \/teapot HTTP\/1\.1" 418 \d+ \d+ "https:\/\/from\.example\.org\/" "test\/1" "127\.0\.0\.1:\d+" "127\.0\.0\.1:21253" x_forwarded_for:"127\.0\.0\.1" x_forwarded_proto:"https" vcap_request_id:"[0-9a-f-]{36}" response_time:\d+\.\d{6} gorouter_time:\d+\.\d{6} app_id:"app-guid" app_index:"4" instance_id:"inst-app" x_cf_routererror:"-"$/,
  );
  assert.equal(envelope.sourceId, 'app-guid');
  assert.equal(envelope.tags.source_type, 'RTR');
  assert.equal(envelope.tags.app_name, 'app');
  assert.equal(envelope.tags.organization_name, 'org');
  assert.equal(envelope.tags.instance_id, '4');
});

test('a failed endpoint is a line of its app with the reason', async () => {
  await ask('dead.cupola.test', '/dead');
  const envelope = await lineWith('/dead ');
  assert.match(text(envelope), / 502 .* x_cf_routererror:"endpoint_failure"$/);
  assert.equal(envelope.sourceId, 'dead-guid');
});

test('requests to system hosts and to nobody are no app\u2019s lines', async () => {
  await ask('api.cupola.test', '/secret?code=1');
  await ask('unknown.cupola.test', '/unknown');
  await ask('app.cupola.test', '/last');
  await lineWith('/last ');
  assert.equal(path.envelopes.filter((envelope) => /secret|unknown/.test(text(envelope))).length, 0);
});

test('an app whose route is not served reads why in its log, once', async () => {
  const entries = path.state.entries;
  const refused = (host: string) =>
    routeEntry({ host, app: 'refused', instances: [{ guid: 'inst-app', index: 0 }] }, path.cellPort);
  const told = (part: string) => path.envelopes.filter((envelope) => text(envelope).includes(part));
  path.state.ingressAnswers = false;
  path.state.entries = [...entries, refused('api.cupola.test'), refused('a b.cupola.test')];
  await path.converged();
  assert.equal(path.router.status().refused.length, 2, 'the operator sees both');
  path.state.ingressAnswers = true;
  await path.converged();
  const envelope = await lineWith('Not routed: route route-a b.cupola.test has a host or path that cannot be served');
  assert.equal(envelope.sourceId, 'refused-guid');
  assert.equal(envelope.tags.source_type, 'RTR');
  assert.equal(envelope.tags.app_name, 'refused');
  assert.ok(envelope.message.case === 'log' && envelope.message.value.stderr);
  await path.converged();
  await path.converged();
  assert.equal(told('claims the system host api.cupola.test').length, 1);
  path.state.entries = entries;
  await path.converged();
  assert.deepEqual(path.router.status().refused, []);
  path.state.entries = [...entries, refused('api.cupola.test')];
  await path.converged();
  await path.until('the line again', () => told('claims the system host api.cupola.test').length === 2);
  path.state.entries = entries;
  await path.converged();
});

test('what a client writes cannot break or forge a line', async () => {
  const agent = 'a" app_id:"other" \u00ff {"x":\\ %0A%zz';
  await ask('app.cupola.test', '/quote?"%0a%22', { 'User-Agent': agent });
  await ask('app.cupola.test', `/long?${'%22'.repeat(4_000)}`, { 'User-Agent': '"'.repeat(3_000) });
  const forged = text(await lineWith('/quote'));
  assert.equal(forged.includes('\n'), false);
  assert.ok(forged.includes('app_id:"app-guid"'));
  assert.ok(forged.includes('a\\" app_id:\\"other\\"'));
  const long = await lineWith('/long');
  assert.equal(long.sourceId, 'app-guid');
  assert.equal(path.router.status().accessLog.unreadable, 0);
});

for (const [what, bound] of [
  ['another app\u2019s instance', 'inst-dead'],
  ['the router\u2019s own way', '_again'],
  ['an instance that is gone', 'inst-of-before'],
  ['an entry of the map', 'instances'],
  ['a number', '0'],
  ['a client\u2019s name of an instance', 'app-guid:4'],
  ['much that is none', '%/ '.repeat(100)],
] as const) {
  test(`SECURITY-TESTS 7: a session bound to ${what} is bound to none: its app answers, and the line is that app\u2019s`, async () => {
    const body = 'x'.repeat(10);
    const ways: [way: string, method: string, body: string | undefined, headers: Record<string, string>][] = [
      ['get', 'GET', undefined, {}],
      ['whole', 'POST', body, { 'content-length': '10' }],
      ['pieces', 'POST', body, { 'transfer-encoding': 'chunked' }],
    ];
    for (const [way, method, sent, own] of ways) {
      const target = `/bound/${encodeURIComponent(bound.slice(0, 20))}/${way}`;
      const headers = { ...own, cookie: `JSESSIONID=1; __VCAP_ID__=${bound}` };
      const to = { host: 'app.cupola.test', port: path.httpsPort, ca: path.pki.routerRoot.cert };
      assert.equal((await send({ ...to, path: target, method, headers, body: sent })).status, 200, way);
      assert.equal((await lineWith(target)).sourceId, 'app-guid', way);
    }
    assert.equal(
      path.envelopes.filter((one) => one.sourceId !== 'app-guid' && text(one).includes('/bound/')).length,
      0,
    );
  });
}

test('lines wait for loggregator, and for control', async () => {
  path.state.ingressAnswers = false;
  for (let count = 0; count < 3; count += 1) await ask('app.cupola.test', `/waiting-${count}`);
  await path.until('a queue', () => path.router.status().accessLog.queued === 3);
  path.state.ingressAnswers = true;
  await lineWith('/waiting-2 ');
  await path.stopDriver();
  await ask('app.cupola.test', '/while-control-is-away');
  await path.startDriver();
  await lineWith('/while-control-is-away ');
});

test('no line is lost, and none comes twice, while control goes and comes', async () => {
  const counts = () => {
    const lines = path.envelopes.map(text).filter((line) => line.includes('/outage-'));
    return Object.entries(Object.groupBy(lines, (line) => /outage-\d+-\w+/.exec(line)?.[0] ?? '')).map(
      ([name, found]) => `${name} ${found?.length}`,
    );
  };
  const wanted = [];
  for (let round = 0; round < 5; round += 1) {
    for (const when of ['before', 'away', 'after']) {
      if (when === 'away') await path.stopDriver();
      for (const name of ['first', 'second']) {
        await ask('app.cupola.test', `/outage-${round}-${when}${name}`);
        wanted.push(`outage-${round}-${when}${name} 1`);
      }
      if (when === 'away') await path.startDriver();
    }
    await lineWith(`/outage-${round}-aftersecond `);
  }
  assert.deepEqual(counts().sort(), wanted.sort());
});

test('a HAProxy that is replaced is read to its end, and its successor from its begin', async () => {
  for (let round = 0; round < 3; round += 1) {
    const wanted = [`/replaced-${round}-before`, `/replaced-${round}-after`];
    await ask('app.cupola.test', wanted[0]!);
    await path.replaceRouterProxy();
    await ask('app.cupola.test', wanted[1]!);
    for (const line of wanted) await lineWith(`${line} `);
  }
});
