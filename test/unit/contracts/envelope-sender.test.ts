import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { EnvelopeSender, type EnvelopeSenderOptions } from '../../../src/contracts/envelope-sender.ts';
import { EnvelopeWriter } from '../../../src/contracts/envelope-wire.ts';
import { logEnvelope, originOf } from '../../../src/contracts/log-envelopes.ts';
import { Logger } from '../../../src/kit/log.ts';
import { eventually, fakeControl } from '../../support/fake-control.ts';

const ORIGIN = originOf({ appGuid: 'app' }, { type: 'API', origin: 'cloud_controller', job: 'api', index: '0' }, null);
const line = (text: string) => logEnvelope(ORIGIN, 1n, Buffer.from(text));
/** Of a line of four bytes, with what is around it. */
const LINE_BYTES = new EnvelopeWriter().write(line('1000')).length + 200;
const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, at) => String(1000 + from + at));

let opened: EnvelopeSender[] = [];
afterEach(async () => {
  for (const sender of opened) await sender.close(0);
  opened = [];
});

function senderTo(options: EnvelopeSenderOptions = {}) {
  const { control, ingress } = fakeControl();
  const said: { message: string; count?: number }[] = [];
  const log = new Logger('test', {}, (text) => said.push(JSON.parse(text)));
  let calls = 0;
  const counted = {
    send: (...call: Parameters<typeof ingress.send>) => {
      calls += 1;
      return ingress.send(...call);
    },
  };
  const sender = new EnvelopeSender(counted, log, options);
  opened.push(sender);
  const leftOut = () => said.filter(({ message }) => message === 'envelopes were left out').map(({ count }) => count);
  return { control, sender, leftOut, calls: () => calls };
}

test('LOG-01: many lines are a few calls, in order, and nothing is lost while the log cache is away', async () => {
  const { control, sender, calls } = senderTo();
  control.away = true;
  const texts = numbers(0, 5_000);
  for (const text of texts.slice(0, 2_000)) sender.offer(line(text));
  await eventually('a failed call', () => calls() === 1);
  for (const text of texts.slice(2_000)) sender.offer(line(text));
  assert.deepEqual(sender.status(), { waiting: 5_000, leftOut: 0 });
  control.away = false;
  await eventually('all arrive', () => control.lines().length >= 5_000);
  assert.deepEqual(control.lines(), texts);
  assert.ok(calls() < 8, `${calls()} calls`);
  assert.deepEqual(sender.status(), { waiting: 0, leftOut: 0 });
});

test('what is acknowledged was taken, and all before it', async () => {
  const { control, sender } = senderTo();
  control.away = true;
  const arrived: number[] = [];
  sender.push(line('1000'), () => arrived.push(control.lines().length));
  sender.push(line('1001'), () => arrived.push(control.lines().length));
  sender.afterAll(() => arrived.push(control.lines().length));
  assert.equal(arrived.length, 0);
  control.away = false;
  await eventually('the calls back', () => arrived.length === 3);
  assert.deepEqual(arrived, [2, 2, 2]);
  sender.afterAll(() => arrived.push(-1));
  assert.equal(arrived.at(-1), -1, 'at once where nothing waits');
});

test('beyond its bound the newest are left out, counted and said; there is room again when the rest is gone', async () => {
  const { control, sender, leftOut } = senderTo({ mostBytes: 100 * LINE_BYTES });
  control.away = true;
  for (const text of numbers(0, 150)) sender.offer(line(text));
  assert.deepEqual(sender.status(), { waiting: 100, leftOut: 50 });
  let room = false;
  const waiting = sender.room().then(() => {
    room = true;
  });
  await new Promise(setImmediate);
  assert.equal(room, false);
  control.away = false;
  await waiting;
  assert.deepEqual(control.lines(), numbers(0, 100));
  assert.deepEqual(leftOut(), [50]);
});

test('where the newest count, the oldest are left out, but for those that are under way', async () => {
  const { control, sender, leftOut, calls } = senderTo({ mostBytes: 100 * LINE_BYTES, leavesOut: 'oldest' });
  const { promise: answered, reject: fail } = Promise.withResolvers<void>();
  control.beforeTaken = () => answered;
  for (const text of numbers(0, 10)) sender.offer(line(text));
  await eventually('ten are under way', () => calls() === 1);
  for (const text of numbers(10, 1_000)) sender.offer(line(text));
  const { waiting, leftOut: missing } = sender.status();
  assert.ok(waiting > 90 && waiting <= 100, `${waiting} wait`);
  assert.equal(waiting + missing, 1_000);
  control.beforeTaken = async () => {};
  fail(new Error('it is away again'));
  await eventually('they arrive', () => sender.status().waiting === 0);
  assert.deepEqual(control.lines(), [...numbers(0, 10), ...numbers(1_010 - waiting, 1_000)]);
  assert.deepEqual(leftOut(), [missing]);
});

test('what cannot be delivered by the end is said', async () => {
  const { control, sender, leftOut } = senderTo();
  control.away = true;
  for (const text of numbers(0, 3)) sender.offer(line(text));
  await sender.close(0);
  assert.deepEqual(leftOut(), [3]);
  sender.offer(line('after it'));
  assert.deepEqual(sender.status(), { waiting: 3, leftOut: 4 });
});
