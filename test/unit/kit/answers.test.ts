import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { boundUntaken, jsonPieces, sendJson } from '../../../src/kit/answer.ts';
import { AnswerAccount, type AnswerLimits, countRead, forAnswer } from '../../../src/kit/answer-account.ts';
import { createHttpApp } from '../../../src/kit/http.ts';
import { refusalOf } from '../../../src/kit/refusal.ts';
import { refusedAs, TestAnswer } from '../../support/answer-accounts.ts';

const LIMITS: AnswerLimits = { bytes: 1_000, bytesPerCaller: 400, bytesAlways: 100, bytesRead: 300, bytesSent: 350 };

test('SECURITY 25: what waits to be sent is bounded for each caller and for all, and small answers pass whoever fills the account', () => {
  const account = new AnswerAccount(LIMITS);
  const first = new TestAnswer();
  account.enter(first, 'a').read(300);
  const second = account.enter(new TestAnswer(), 'a');
  assert.equal(
    refusedAs(() => second.read(101)),
    'too_many_answers',
  );
  second.read(100);
  assert.equal(
    refusedAs(() => account.enter(new TestAnswer(), 'a')),
    'too_many_answers',
    'before anything is read',
  );
  account.enter(new TestAnswer(), 'b').read(300);
  account.enter(new TestAnswer(), 'c').read(300);
  const small = account.enter(new TestAnswer(), 'd');
  assert.equal(
    refusedAs(() => small.read(101)),
    'overloaded',
  );
  small.read(100);
  assert.equal(account.bytes, 1_100);
  first.end();
  assert.equal(account.bytes, 800);
  account.enter(new TestAnswer(), 'a').read(200);
});

test('SECURITY 25: one answer is bounded in what it is made of and in what is sent, and what it was made of counts no longer than that', () => {
  const account = new AnswerAccount(LIMITS);
  const response = new TestAnswer();
  const entry = account.enter(response, 'a');
  assert.equal(
    refusedAs(() => entry.read(301)),
    'answer_too_large',
  );
  entry.read(200);
  assert.equal(
    refusedAs(() => entry.write(351)),
    'answer_too_large',
  );
  entry.write(150);
  entry.written();
  assert.equal(account.bytes, 150);
  response.end();
  assert.equal(account.bytes, 0);
  assert.notEqual(
    refusedAs(() => entry.read(1)),
    undefined,
    'nothing more is read for who is gone',
  );
});

test('what is read counts for the answer that it is read for, by what it holds', async () => {
  const account = new AnswerAccount(LIMITS);
  await forAnswer(account.enter(new TestAnswer(), 'a'), async () => {
    await delay(1);
    countRead({ name: 'x'.repeat(50), labels: { key: 'y'.repeat(50) }, at: new Date() });
  });
  assert.ok(account.bytes > 100 && account.bytes < 250, `${account.bytes}`);
  countRead('nobody asked for this');
});

test('an answer in pieces is what it is in one', () => {
  for (const value of [
    {
      resources: [{ a: 1, b: undefined, at: new Date(0) }, null, undefined, 'x'],
      none: undefined,
      included: { apps: [{ n: [1] }], x: {} },
    },
    [],
    {},
    [1, [2, { a: undefined }]],
    'text',
    null,
    new Date(0),
    { resources: [], 'a"b': 'c', deep: { deeper: { deepest: [undefined] } } },
  ]) {
    assert.equal([...jsonPieces(value)].join(''), JSON.stringify(value));
  }
});

async function listening(server: Server): Promise<{ port: number; close(): Promise<unknown> }> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
async function until(holds: () => boolean): Promise<void> {
  for (let tries = 0; !holds(); tries += 1) {
    assert.ok(tries < 1_000, 'it does not come');
    await delay(5);
  }
}
const unread = (port: number, path = '/'): Socket => {
  const socket = connect(port, '127.0.0.1').on('error', () => {});
  socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
  socket.pause();
  return socket;
};

test('SECURITY 25: a client that reads nothing holds no more than its share, and a large answer leaves turns to others', async () => {
  const account = new AnswerAccount({ ...LIMITS, bytes: 1e9, bytesPerCaller: 64e6, bytesSent: 32e6 });
  const app = createHttpApp({ renderError: (error, _, reply) => reply.code(refusalOf(error)?.status ?? 500).send() });
  const resources = Array.from({ length: 5_000 }, () => ({ text: 'x'.repeat(4_000) }));
  let turns = 0;
  app.get('/', async (_, reply) => {
    const ticking = setInterval(() => {
      turns += 1;
    }, 1);
    const entry = account.enter(reply.raw, 'a');
    // Until it is written: while it is sent others have turns in any case.
    const written = (): void => {
      clearInterval(ticking);
      entry.written();
    };
    return sendJson(reply, { resources }, { ...entry, written }).finally(() => clearInterval(ticking));
  });
  await app.ready();
  const { port, close } = await listening(createServer(app.routing));
  try {
    const whole = await fetch(`http://127.0.0.1:${port}/`);
    const { resources: got } = (await whole.json()) as { resources: unknown[] };
    assert.deepEqual([got.length, Number(whole.headers.get('content-length')) > 20e6], [5_000, true]);
    assert.ok(turns > 0, 'others had no turn');
    await until(() => account.bytes === 0);
    // As many as have room whole: more at once would take it from each other.
    const sockets = Array.from({ length: 3 }, () => unread(port));
    await until(() => account.bytes >= 60e6);
    assert.equal((await fetch(`http://127.0.0.1:${port}/`)).status, 429);
    assert.ok(account.bytes <= 64e6);
    for (const socket of sockets) socket.destroy();
    await until(() => account.bytes === 0);
  } finally {
    await close();
  }
});

test('SECURITY 25: an answer that its client does not take ends, and one that is taken slowly goes on', async () => {
  const pace = { ms: 1_000, bytes: 1_024 };
  // More than kernel and clients take at once, and no memory, since it is one and the same.
  const chunk = Buffer.alloc(65_536);
  const chunks = 10_000;
  const answers = new Map<string, ServerResponse>();
  const { port, close } = await listening(
    createServer((request, response) => {
      answers.set(request.url ?? '', response);
      boundUntaken(response, pace);
      Readable.from(Array.from({ length: chunks }, () => chunk)).pipe(response);
    }),
  );
  const slow = unread(port, '/slow');
  let reading: NodeJS.Timeout | undefined;
  try {
    slow.on('data', () => {});
    slow.pause();
    const stuck = unread(port, '/stuck');
    reading = setInterval(() => {
      slow.resume();
      setTimeout(() => slow.pause(), 5);
    }, 50);
    await delay(3_500);
    const taken = answers.get('/slow');
    assert.equal(taken?.destroyed, false, 'it ended although it was taken');
    assert.ok(taken.writableLength > 0, 'it was taken at once');
    assert.equal(answers.get('/stuck')?.destroyed, true, 'it goes on although it is not taken');
    slow.destroy();
    stuck.resume();
    await once(stuck, 'close');
    assert.ok(stuck.bytesRead < chunks * chunk.length, 'it was sent whole');
  } finally {
    clearInterval(reading);
    slow.destroy();
    await close();
  }
});
