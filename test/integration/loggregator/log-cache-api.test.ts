import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { create, toBinary } from '@bufbuild/protobuf';
import type { Client } from '@connectrpc/connect';
import type { AccessToken } from '../../../src/contracts/access-token.ts';
import { type Envelope, EnvelopeSchema, Ingress } from '../../../src/contracts/gen/loggregator_pb.js';
import { client, inMemoryTransport } from '../../../src/kit/rpc.ts';
import { createLoggregator, type Loggregator } from '../../../src/loggregator/index.ts';
import { silentLog } from '../../support/postgresql.ts';

const APP = 'c1a9e0b2-0000-4000-8000-000000000001';
const OTHER = 'c1a9e0b2-0000-4000-8000-000000000002';
let loggregator: Loggregator;
let ingress: Client<typeof Ingress>;
let server: Server;
let url: string;
/** The sources of each question. */
const asked: (readonly string[])[] = [];
/** Tokens are words here: whose they are is what `access` says. */
const ANYBODY: AccessToken = {
  userId: null,
  userName: null,
  clientId: 'cf',
  origin: null,
  scopes: new Set(),
  jti: 'x',
  expiresAt: 0,
};

before(async () => {
  server = createServer((request, response) => loggregator.handler(request, response));
  await new Promise<void>((resolve) => server.listen(24_020, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
after(() => server.close());
beforeEach(() => {
  asked.length = 0;
  loggregator = createLoggregator({
    log: silentLog,
    tokens: { verify: async () => ANYBODY },
    access: async (token, sourceIds) => {
      asked.push(sourceIds);
      if (token === 'broken') throw new Error('planted: the inside');
      return token === 'developer' ? sourceIds.filter((sourceId) => sourceId === APP) : [];
    },
  });
  ingress = client(Ingress, inMemoryTransport(loggregator.routes));
});
afterEach(() => loggregator.close());

const now = (): bigint => BigInt(Date.now()) * 1_000_000n;
const send = (batch: readonly Envelope[]) =>
  ingress.send({ batch: batch.map((envelope) => toBinary(EnvelopeSchema, envelope)) });
const line = (text: string, timestampNs: bigint, sourceId = APP, stderr = false): Envelope =>
  create(EnvelopeSchema, {
    sourceId,
    instanceId: '0',
    timestampNs,
    tags: { source_type: 'APP/PROC/WEB', app_name: 'web' },
    message: { case: 'log', value: { payload: Buffer.from(text), stderr } },
  });
const get = (path: string, token: string | null = 'developer'): Promise<Response> =>
  fetch(`${url}${path}`, token === null ? {} : { headers: { authorization: `bearer ${token}` } });

/** An answer nobody reads would keep its connection. */
async function wholeAnswer(path: string): Promise<Response> {
  const answer = await get(path);
  await answer.arrayBuffer();
  return answer;
}

interface Shown {
  timestamp: string;
  instance_id: string;
  tags: Record<string, string>;
  log?: { payload: string; type: string };
  gauge?: { metrics: Record<string, { unit: string; value: number }> };
}
async function read(query: Record<string, string> = {}): Promise<Shown[]> {
  const response = await get(`/api/v1/read/${APP}?${new URLSearchParams(query)}`);
  assert.equal(response.status, 200);
  return ((await response.json()) as { envelopes: { batch: Shown[] } }).envelopes.batch;
}
const texts = (batch: readonly Shown[]): string[] =>
  batch.map(({ log }) => Buffer.from(log!.payload, 'base64').toString());

test('LOG-01: an envelope is protojson to the letter', async () => {
  await send([line('hello', 1_700_000_000_123_456_789n, APP, true)]);
  const response = await get(`/api/v1/read/${APP}`);
  assert.match(response.headers.get('content-type')!, /^application\/json/);
  assert.deepEqual(await response.json(), {
    envelopes: {
      batch: [
        {
          timestamp: '1700000000123456789',
          source_id: APP,
          instance_id: '0',
          deprecated_tags: {},
          tags: { source_type: 'APP/PROC/WEB', app_name: 'web' },
          log: { payload: 'aGVsbG8=', type: 'ERR' },
        },
      ],
    },
  });
});

test('the CLI learns the API version without a token', async () => {
  const info = (await (await get('/api/v1/info', null)).json()) as Record<string, string>;
  assert.match(info['version']!, /^\d+\.\d+\.\d+$/);
  assert.match(info['vm_uptime']!, /^\d+$/);
});

test('"cf logs --recent": a zero time as start, logs only, newest first', async () => {
  await send(Array.from({ length: 1_500 }, (_, n) => line(String(n), now() + BigInt(n))));
  const start_time = '-6795364578871345152'; // what Go makes of the zero time
  const batch = await read({ start_time, envelope_types: 'LOG', limit: '1000', descending: 'true' });
  assert.equal(batch.length, 1_000);
  assert.deepEqual([texts(batch)[0], texts(batch).at(-1)], ['1499', '500']);
});

test('"cf logs": following from the newest envelope, "last + 1" at a time, loses and repeats nothing', async () => {
  const sent: string[] = [];
  const at = now() - 60_000_000_000n;
  const sendNumbers = async (from: number, count: number): Promise<void> => {
    const numbers = Array.from({ length: count }, (_, n) => from + n);
    sent.push(...numbers.map(String));
    // Seven lines share each timestamp, as those of a burst do that come with millisecond time.
    await send(numbers.map((n) => line(String(n), at + BigInt(Math.floor(n / 7)))));
  };
  await sendNumbers(0, 1);
  const [latest] = await read({ limit: '1', descending: 'true', start_time: '-6795364578871345152' });
  let start = BigInt(latest!.timestamp) - 1_000_000_000n;
  const followed: string[] = [];
  for (let round = 0; round < 20; round += 1) {
    const batch = await read({ start_time: String(start), envelope_types: 'LOG' });
    followed.push(...texts(batch));
    if (batch.length > 0) start = BigInt(batch.at(-1)!.timestamp) + 1n;
    if (round < 10) await sendNumbers(1 + round * 35, 35);
  }
  assert.deepEqual(followed, sent);
});

test('a range has an inclusive start, an exclusive end and a limit', async () => {
  await send([10n, 20n, 30n, 40n].map((at) => line(String(at), at)));
  assert.deepEqual(texts(await read({ start_time: '20', end_time: '40' })), ['20', '30']);
  assert.deepEqual(texts(await read({ end_time: '40', limit: '1', descending: 'true' })), ['30']);
  await send(Array.from({ length: 200 }, (_, n) => line(`n${n}`, 100n + BigInt(n))));
  assert.equal((await read()).length, 100);
  for (const query of [
    'limit=1001',
    'limit=-1',
    'limit=x',
    'start_time=9&end_time=3',
    'envelope_types=SONG',
    'name_filter=(',
  ]) {
    assert.equal((await get(`/api/v1/read/${APP}?${query}`)).status, 400, query);
  }
});

test('gauges are found by type and by name', async () => {
  const gauge = create(EnvelopeSchema, {
    sourceId: APP,
    timestampNs: 5n,
    message: {
      case: 'gauge',
      value: { metrics: { cpu: { unit: 'percentage', value: 1.5 }, memory: { unit: 'bytes', value: 7 } } },
    },
  });
  await send([line('text', 4n), gauge]);
  assert.equal((await read({ envelope_types: 'GAUGE' })).length, 1);
  assert.equal((await read({ envelope_types: 'COUNTER' })).length, 0);
  assert.equal((await read({ envelope_types: 'ANY' })).length, 2);
  const [named] = await read({ name_filter: '^cpu$' });
  assert.deepEqual(named!.gauge, { metrics: { cpu: { unit: 'percentage', value: 1.5 } } });
});

test('whoever may not read a source is told that there is none', async () => {
  await send([line('secret', 1n, OTHER), line('mine', 1n)]);
  const answers = [
    await get(`/api/v1/read/${APP}`, null),
    await get(`/api/v1/read/${APP}`, 'stranger'),
    await get(`/api/v1/read/${OTHER}`),
    await get('/api/v1/read/nobody'),
    await get('/api/v1/meta', null),
    await get('/api/v1/elsewhere'),
  ];
  const bodies = new Set(await Promise.all(answers.map((answer) => answer.text())));
  assert.deepEqual(
    answers.map((answer) => answer.status),
    [404, 404, 404, 404, 404, 404],
  );
  assert.equal(bodies.size, 1);
  assert.doesNotMatch([...bodies][0]!, /secret/);
});

test('meta shows the sources the caller may read, and asks about all in one question', async () => {
  await send([line('a', 1n), line('b', 9n), line('c', 1n, OTHER)]);
  const meta = async (): Promise<unknown> => (await get('/api/v1/meta')).json();
  const mine = { meta: { [APP]: { count: '2', expired: '0', oldest_timestamp: '1', newest_timestamp: '9' } } };
  assert.deepEqual(await meta(), mine);
  assert.deepEqual(
    asked.map((sources) => sources.toSorted()),
    [[APP, OTHER]],
  );
});

test('SECURITY 25: whoever asks for all sources again and again is told to wait, and reads on', async () => {
  await send([line('a', 1n)]);
  let answer = await get('/api/v1/meta');
  for (let sent = 1; sent < 200 && answer.status === 200; sent += 1) answer = await get('/api/v1/meta');
  assert.equal(answer.status, 429);
  assert.ok(Number(answer.headers.get('retry-after')) >= 1);
  assert.ok(asked.length < 150);
  assert.equal((await get(`/api/v1/read/${APP}`)).status, 200);
});

test('when the Cloud Controller does not answer, the client is told to come again and nothing of the inside', async () => {
  const response = await get(`/api/v1/read/${APP}`, 'broken');
  assert.equal(response.status, 503);
  assert.doesNotMatch(await response.text(), /planted/);
});

test('PromQL says that it is not served', async () => {
  assert.equal((await get('/api/v1/query?query=cpu')).status, 501);
});

test('LOG-01: whoever sends lines learns whether those who follow have read past the newest of a type', async () => {
  const staging = (text: string, timestampNs: bigint): Envelope =>
    Object.assign(line(text, timestampNs), { tags: { source_type: 'STG' } });
  const behind = async () => (await ingress.followers({ sourceId: APP, sourceType: 'STG' })).behind;
  const at = now();
  await read({ start_time: '0', limit: '1', descending: 'true' });
  assert.equal(await behind(), 0, 'there is nothing to read');
  await send([staging('the reason', at), line('later', at + 10n)]);
  assert.equal(await behind(), 1, 'who looks for a beginning follows');
  await read({ start_time: String(at), envelope_types: 'LOG' });
  assert.equal(await behind(), 1);
  await read({ start_time: String(at + 1n), envelope_types: 'LOG' });
  assert.equal(await behind(), 0);
});

test('who may not read, looks back, or asks for metrics alone does not follow', async () => {
  const at = now();
  await send([Object.assign(line('x', at), { tags: { source_type: 'STG' } })]);
  const query = (more: Record<string, string>) =>
    `/api/v1/read/${APP}?${new URLSearchParams({ start_time: '1', ...more })}`;
  assert.equal((await get(query({}), 'stranger')).status, 404);
  const others: Record<string, string>[] = [
    { descending: 'true', limit: '1000' },
    { end_time: String(at) },
    { envelope_types: 'GAUGE' },
  ];
  for (const more of others) {
    assert.equal((await get(query(more))).status, 200);
  }
  assert.equal((await ingress.followers({ sourceId: APP, sourceType: 'STG' })).behind, 0);
  assert.equal((await get(query({}))).status, 200);
  assert.equal((await ingress.followers({ sourceId: APP, sourceType: 'STG' })).behind, 1);
});

test('SECURITY 25: one read is bounded in bytes, and who reads none of their answers is refused more of them', async () => {
  const first = now();
  const text = 'x'.repeat(45_000);
  await send(Array.from({ length: 200 }, (_, n) => line(`${n} ${text}`, first + BigInt(n))));
  const path = `/api/v1/read/${APP}?limit=1000&descending=true`;
  const whole = await get(path);
  const body = await whole.text();
  assert.ok(body.length < 4.2 * 1024 ** 2, `${body.length}`);
  const { envelopes } = JSON.parse(body) as { envelopes: { batch: Shown[] } };
  assert.match(texts(envelopes.batch)[0]!, /^199 /);
  const question = `GET ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: bearer developer\r\n\r\n`;
  const sockets = Array.from({ length: 60 }, () => {
    const socket = connect(24_020, '127.0.0.1').on('error', () => {});
    return socket.pause();
  });
  try {
    let refused = whole;
    for (let tries = 0; refused.status === 200 && tries < 100; tries += 1) {
      for (const socket of sockets) socket.write(question); // the kernel's buffers may take many answers
      await delay(50);
      refused = await wholeAnswer(path);
    }
    assert.equal(refused.status, 429);
    assert.ok(Number(refused.headers.get('retry-after')) > 0);
  } finally {
    for (const socket of sockets) socket.destroy();
  }
  let again = await wholeAnswer(path);
  for (let tries = 0; again.status === 429 && tries < 100; tries += 1) {
    await delay(50);
    again = await wholeAnswer(path);
  }
  assert.equal(again.status, 200);
});
