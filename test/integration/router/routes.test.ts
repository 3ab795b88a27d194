import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ask as send } from '../../support/http-client.ts';
import { type RequestPath, startRequestPath } from '../../support/request-path.ts';

let path: RequestPath;

before(async () => {
  path = await startRequestPath({
    firstPort: 21200,
    prefix: 'router-routes',
    olderDiego: true,
    changeSettings: (settings) => ({ ...settings, http2Apps: true }),
  });
  for (const name of ['one', 'two', 'three', 'api', 'deep', 'wild']) {
    const { port } = await path.startBackend((request, response) => {
      if (request.url === '/session') response.setHeader('Set-Cookie', 'JSESSIONID=abc; Path=/');
      response.setHeader('X-Seen', JSON.stringify(request.headers));
      response.end(name);
    });
    await path.registerInstance(`inst-${name}`, port);
  }
  await path.setRoutes(
    {
      host: 'app.cupola.test',
      instances: [
        { guid: 'inst-one', index: 0 },
        { guid: 'inst-two', index: 1 },
        { guid: 'inst-three', index: 2 },
      ],
    },
    { host: 'app.cupola.test', path: '/v1', app: 'deep', instances: [{ guid: 'inst-deep', index: 0 }] },
    { host: '*.cupola.test', app: 'wild', instances: [{ guid: 'inst-wild', index: 0 }] },
    { host: 'none.cupola.test', instances: [] },
  );
});
after(() => path.close());

const ask = (host: string, url = '/', headers: Record<string, string> = {}) =>
  send({ host, port: path.httpsPort, path: url, headers, ca: path.pki.routerRoot.cert });

test('RTR-03, RTR-06: a request over HTTPS reaches every instance of its app, over TLS to the cell', async () => {
  const seen = new Set<string>();
  for (let count = 0; count < 9; count += 1) seen.add((await ask('app.cupola.test')).body);
  assert.deepEqual([...seen].sort(), ['one', 'three', 'two']);
});

test('the longest path of a host wins, and only at a segment', async () => {
  assert.equal((await ask('app.cupola.test', '/v1')).body, 'deep');
  assert.equal((await ask('app.cupola.test', '/V1/x?y=1')).body, 'deep');
  assert.match((await ask('app.cupola.test', '/v1x')).body, /^(one|two|three)$/);
});

test('paths with every character the API takes are served', async () => {
  const entries = path.state.entries;
  const odd = ['/par;m=1', "/a,b'(c)!*$&+=:@~", '/a%2Fb', '/a//b', '/UPPER'];
  await path.setRoutes(
    ...odd.map((each) => ({
      host: 'odd.cupola.test',
      path: each,
      app: 'odd',
      instances: [{ guid: 'inst-deep', index: 0 }],
    })),
  );
  for (const each of odd) assert.equal((await ask('odd.cupola.test', each)).body, 'deep', each);
  assert.equal((await ask('odd.cupola.test', '/par')).status, 404);
  path.state.entries = entries;
  await path.converged();
});

test('a wildcard serves what no exact host does, several labels deep', async () => {
  assert.equal((await ask('other.cupola.test')).body, 'wild');
  assert.equal(
    (await send({ host: 'a.b.cupola.test', port: path.httpPort })).body,
    'wild',
    'the certificate has one level, so this one goes in the clear',
  );
});

test('an unknown route answers 404, a route without instances 503, each with its reason', async () => {
  const unknown = await send({ host: 'elsewhere.example.org', port: path.httpPort });
  assert.equal(unknown.status, 404);
  assert.equal(unknown.headers['x-cf-routererror'], 'unknown_route');
  const empty = await ask('none.cupola.test');
  assert.equal(empty.status, 503);
  assert.equal(empty.headers['x-cf-routererror'], 'no_endpoints');
});

test('X-CF-App-Instance picks the instance, and never one of another route', async () => {
  for (const [index, name] of ['one', 'two', 'three'].entries()) {
    assert.equal((await ask('app.cupola.test', '/', { 'X-CF-App-Instance': `app-guid:${index}` })).body, name);
  }
  const other = await ask('app.cupola.test', '/', { 'X-CF-App-Instance': 'wild-guid:0' });
  assert.equal(other.status, 400);
  assert.equal(other.headers['x-cf-routererror'], 'unknown_route');
  const nonsense = await ask('app.cupola.test', '/', { 'X-CF-App-Instance': 'nonsense' });
  assert.equal(nonsense.status, 400);
  assert.equal(nonsense.headers['x-cf-routererror'], 'invalid_cf_app_instance_header');
});

test('X-CF-Process-Instance picks the instance of a process', async () => {
  for (const [index, name] of ['one', 'two', 'three'].entries()) {
    assert.equal((await ask('app.cupola.test', '/', { 'X-CF-Process-Instance': `app-process:${index}` })).body, name);
  }
  const other = await ask('app.cupola.test', '/', { 'X-CF-Process-Instance': 'wild-process:0' });
  assert.equal(other.status, 400);
  assert.equal(other.headers['x-cf-routererror'], 'unknown_route');
  const nonsense = await ask('app.cupola.test', '/', { 'X-CF-Process-Instance': 'nonsense' });
  assert.equal(nonsense.status, 400);
  assert.equal(nonsense.headers['x-cf-routererror'], 'invalid_cf_process_instance_header');
});

test('a session stays with its instance', async () => {
  const first = await ask('app.cupola.test', '/session');
  const cookie = (first.headers['set-cookie'] ?? []).map((value) => value.split(';')[0]).join('; ');
  assert.match(cookie, new RegExp(`__VCAP_ID__=inst-${first.body}`));
  for (let count = 0; count < 5; count += 1) {
    assert.equal((await ask('app.cupola.test', '/', { Cookie: cookie })).body, first.body);
    const headers = { Cookie: cookie, 'Transfer-Encoding': 'chunked' };
    const posted = { host: 'app.cupola.test', port: path.httpsPort, ca: path.pki.routerRoot.cert, headers };
    assert.equal((await send({ ...posted, method: 'POST', body: 'in pieces' })).body, first.body);
  }
});

test('the app is told who asked: client address, protocol, request id and start', async () => {
  const answer = await ask('other.cupola.test', '/', {
    'X-Forwarded-For': '198.51.100.7',
    'X-Forwarded-Proto': 'http',
  });
  const seen = JSON.parse(String(answer.headers['x-seen']));
  assert.equal(seen['x-forwarded-for'], '198.51.100.7, 127.0.0.1');
  assert.equal(seen['x-forwarded-proto'], 'https');
  assert.match(seen['x-request-start'], /^\d{13}$/);
  assert.match(seen['x-vcap-request-id'], /^[0-9a-f-]{36}$/);
  assert.equal(answer.headers['x-vcap-request-id'], seen['x-vcap-request-id']);
  const plain = await send({ host: 'other.cupola.test', port: path.httpPort });
  assert.equal(JSON.parse(String(plain.headers['x-seen']))['x-forwarded-proto'], 'http');
});

test('a route that is gone is gone, and its slot serves nobody', async () => {
  const entries = path.state.entries;
  path.state.entries = entries.filter(({ route }) => route?.path !== '/v1');
  await path.converged();
  assert.match((await ask('app.cupola.test', '/v1')).body, /^(one|two|three)$/);
  path.state.entries = entries;
  await path.converged();
  assert.equal((await ask('app.cupola.test', '/v1')).body, 'deep');
});

test('SECURITY-TESTS 34: the routes stay while the BBS cannot be asked', async () => {
  path.state.bbsAnswers = false;
  await path.converged();
  assert.equal((await ask('other.cupola.test')).body, 'wild');
  path.state.bbsAnswers = true;
});

test('routes to an app that speaks HTTP/2 reach it', async () => {
  const { createServer } = await import('node:http2');
  const server = createServer((request, response) => response.end(`h${request.httpVersion}`));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await path.registerInstance('inst-grpc', typeof address === 'object' && address ? address.port : 0);
  const entries = path.state.entries;
  await path.setRoutes({
    host: 'grpc.cupola.test',
    protocol: 'http2',
    app: 'grpc',
    instances: [{ guid: 'inst-grpc', index: 0 }],
  });
  assert.equal((await ask('grpc.cupola.test')).body, 'h2.0');
  path.state.entries = entries;
  await path.converged();
  server.close();
});
