import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, request } from 'node:https';
import { type AddressInfo, createServer } from 'node:net';
import { after, before, beforeEach, describe, test } from 'node:test';
import { startRawBackend } from '../../support/raw-backend.ts';
import { type RequestPath, startRequestPath } from '../../support/request-path.ts';

/* Which requests are sent again, where to, and how often, when two of an app's three instances are not there. */
const AT_ONCE = 50;
const HOST = 'app.cupola.test';
let path: RequestPath;
/** Request lines as the instance that is there saw them. */
const seen: string[] = [];
let calls = 0;

before(async () => {
  path = await startRequestPath({ firstPort: 21800, prefix: 'router-repeats' });
  const { port } = await path.startBackend((incoming, response) => {
    seen.push(`${incoming.method} ${incoming.url}`);
    if (incoming.url === '/too-early') response.writeHead(425, { 'X-Own': '1', 'X-Cupola-Status': '200' });
    if (incoming.url === '/imitated') response.writeHead(599, { 'X-Cupola-Status': '425' });
    incoming.resume().on('end', () => response.end('ok'));
  });
  await path.registerInstance('inst-there', port);
  for (const guid of ['inst-gone-1', 'inst-gone-2']) {
    // A port at which nobody listens: it was free a moment ago.
    const gone = createServer().listen(0, '127.0.0.1');
    await once(gone, 'listening');
    await path.registerInstance(guid, (gone.address() as AddressInfo).port);
    gone.close();
  }
  await path.startControl(
    new Map([
      [
        'api.cupola.test',
        (incoming, response) => {
          calls += 1;
          if (incoming.url === '/ends') incoming.socket.destroy();
          else response.end('API');
        },
      ],
    ]),
  );
  await path.setRoutes({
    host: HOST,
    instances: [
      { guid: 'inst-gone-1', index: 0 },
      { guid: 'inst-there', index: 1 },
      { guid: 'inst-gone-2', index: 2 },
    ],
  });
});
beforeEach(() => {
  seen.length = 0;
  calls = 0;
});
after(() => path.close());

async function send(
  agent: Agent | false,
  target: string,
  options: { method?: string; headers?: Record<string, string>; host?: string } = {},
): Promise<{ status: number; headers: Record<string, unknown> }> {
  const outgoing = request({
    host: '127.0.0.1',
    port: path.httpsPort,
    path: target,
    method: options.method ?? 'GET',
    servername: options.host ?? HOST,
    ca: path.pki.routerRoot.cert,
    headers: { host: options.host ?? HOST, ...options.headers },
    agent,
  }).end();
  const [response] = await once(outgoing, 'response');
  response.resume();
  await once(response, 'end');
  return { status: response.statusCode, headers: response.headers };
}

const statuses = async (sent: Promise<{ status: number }>[]) =>
  Object.entries(Object.groupBy(await Promise.all(sent), ({ status }) => `${status}`)).map(
    ([status, all]) => `${all?.length} × ${status}`,
  );
const times = (line: string) => seen.filter((one) => one === line).length;

describe('two of three instances are not there', () => {
  for (const [kind, newAgent] of [
    ['new', () => false],
    ['kept', () => new Agent({ keepAlive: true, maxSockets: 10 })],
  ] as [string, () => Agent | false][]) {
    test(`RTR-03: ${AT_ONCE} GETs at once on ${kind} connections all reach the third`, async () => {
      const agent = newAgent();
      for (let round = 0; round < 3; round += 1) {
        const sent = Array.from({ length: AT_ONCE }, (_, at) => send(agent, `/${kind}/${round}/${at}`));
        assert.deepEqual(await statuses(sent), [`${AT_ONCE} × 200`]);
      }
      assert.equal(new Set(seen).size, seen.length, 'each once');
      if (agent) agent.destroy();
    });
  }

  test('RTR-03: a GET of a session whose instance is gone reaches another', async () => {
    for (const bound of ['inst-gone-1', 'inst-gone-2', 'inst-there']) {
      const headers = { cookie: `JSESSIONID=x; __VCAP_ID__=${bound}` };
      const sent = Array.from({ length: 20 }, (_, at) => send(false, `/${bound}/${at}`, { headers }));
      assert.deepEqual(await statuses(sent), ['20 × 200'], bound);
    }
  });

  test('RTR-03: a GET reaches the third however long its X-Forwarded-For and its cookie are', async () => {
    for (const length of [10, 300, 1_000, 6_000]) {
      const headers = {
        'x-forwarded-for': `${'1.2.3.4, "'.repeat(length / 10)}`,
        cookie: `JSESSIONID=x; __VCAP_ID__=${'%'.repeat(length)}`,
      };
      const sent = Array.from({ length: 6 }, (_, at) => send(false, `/long/${length}/${at}`, { headers }));
      assert.deepEqual(await statuses(sent), ['6 × 200'], `${length}`);
    }
  });

  test('RTR-03: a POST is sent once, and answers 502 where the balance leads to nobody', async () => {
    const answers = await Promise.all(
      Array.from({ length: AT_ONCE }, (_, at) => send(false, `/post/${at}`, { method: 'POST' })),
    );
    for (const [at, { status }] of answers.entries()) {
      assert.ok(status === 200 || status === 502, `${status}`);
      assert.equal(times(`POST /post/${at}`), status === 200 ? 1 : 0);
    }
    assert.ok(answers.some(({ status }) => status === 502));
  });

  test('an instance that is asked for by its index is asked alone', async () => {
    const headers = { 'x-cf-app-instance': 'app-guid:0' };
    assert.equal((await send(false, '/by-index', { headers })).status, 502);
    assert.equal(times('GET /by-index'), 0);
  });
});

describe('what an app says itself', () => {
  test('RTR-03: its own 425 is the answer, and stands in its log; a GET is asked for at most once more, as it invites to', async () => {
    for (let count = 0; count < 10; count += 1) {
      seen.length = 0;
      const { status, headers } = await send(false, '/too-early');
      assert.deepEqual([status, headers['x-own'], headers['x-cupola-status']], [425, '1', undefined]);
      assert.ok([1, 2].includes(times('GET /too-early')));
    }
    await path.until('the access log', () => logged('/too-early').some((line) => / 425 /.test(line)));
  });

  test('it cannot speak for the router', async () => {
    const { status, headers } = await send(false, '/imitated');
    assert.deepEqual([status, headers['x-cupola-status']], [599, undefined]);
    assert.equal(times('GET /imitated'), 1);
  });

  const logged = (target: string) =>
    path.envelopes
      .map(({ message }) => (message.case === 'log' ? Buffer.from(message.value.payload).toString() : ''))
      .filter((line) => line.includes(target));
});

test('a GET that ends control without an answer is sent once more, and no more often; a POST is not', async () => {
  const host = 'api.cupola.test';
  assert.equal((await send(false, '/ends', { host })).status, 502);
  assert.equal(calls, 2);
  assert.equal((await send(false, '/ends', { host, method: 'POST' })).status, 502);
  assert.equal(calls, 3);
  assert.equal((await send(false, '/', { host })).status, 200);
});

test('headers of one hop end at the router, but for trailers', async () => {
  const app = await startRawBackend();
  await path.registerInstance('inst-raw', app.port);
  const { entries } = path.state;
  await path.setRoutes({ host: 'raw.cupola.test', app: 'raw', instances: [{ guid: 'inst-raw', index: 0 }] });
  const headers = { te: 'deflate, trailers', 'proxy-authorization': 'Basic planted' };
  await send(false, '/', { host: 'raw.cupola.test', headers });
  await send(false, '/', { host: 'raw.cupola.test', headers: { te: 'deflate;q=0.5' } });
  assert.match(app.requests[0]!.head, /^te: trailers\r?$/im);
  assert.doesNotMatch(app.requests[0]!.head, /planted|deflate/);
  assert.doesNotMatch(app.requests[1]!.head, /^te:/im);
  app.close();
  path.state.entries = entries;
  await path.converged();
});
