import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { LogAgent } from '../../../src/cell/logs/agent.ts';
import { LogRateLimit } from '../../../src/cell/logs/rate-limit.ts';
import { LineAssembler, MAXIMUM_LINE_BYTES, parseRecord } from '../../../src/cell/logs/records.ts';
import { originOf } from '../../../src/cell/logs/tags.ts';
import { eventually, fakeControl } from '../../support/fake-control.ts';
import { silentLog } from '../../support/postgresql.ts';

const directory = mkdtempSync('/tmp/rep-logs-');
after(() => rmSync(directory, { recursive: true, force: true }));
let serial = 0;

const record = (text: string, flag = 'F', stream = 'stdout') =>
  `2026-11-22T04:31:41.123456789+00:00 ${stream} ${flag} ${text}\n`;
const parse = (line: string) => parseRecord(Buffer.from(line.replace(/\n$/, '')))!;

describe('records of conmon', () => {
  test('time with nanoseconds, stream and text are read; a torn record is none', () => {
    const parsed = parse(record('hello  world', 'F', 'stderr'));
    assert.equal(parsed.timestampNs, BigInt(Date.parse('2026-11-22T04:31:41Z')) * 1_000_000n + 123_456_789n);
    assert.equal(parsed.stderr, true);
    assert.equal(parsed.partial, false);
    assert.equal(parsed.content.toString(), 'hello  world');
    assert.equal(parse('2026-11-22T06:31:41.5+02:00 stdout F x').timestampNs % 1_000_000_000n, 500_000_000n);
    assert.equal(parse('2026-11-22T06:31:41.5+02:00 stdout F x').timestampNs / 1_000_000_000n, 1795321901n);
    for (const torn of ['', 'stdout F x', '2026-11-22T04:31:41.123Z stdout', 'x'.repeat(40)]) {
      assert.equal(parseRecord(Buffer.from(torn)), null, torn);
    }
  });

  test('parts of a long line are joined, each stream for itself', () => {
    const lines = new LineAssembler();
    assert.equal(lines.push(parse(record('one ', 'P'))), null);
    assert.equal(lines.push(parse(record('two', 'F', 'stderr')))?.payload.toString(), 'two');
    assert.equal(lines.idle, false);
    assert.equal(lines.push(parse(record('three')))?.payload.toString(), 'one three');
    assert.equal(lines.idle, true);
  });

  test('empty lines are left out, a line without end comes at the end, an endless one is cut', () => {
    const lines = new LineAssembler();
    assert.equal(lines.push(parse(record(''))), null);
    const part = 'x'.repeat(8_192);
    let cut = 0;
    for (let i = 0; i < 20; i++) if (lines.push(parse(record(part, 'P')))) cut += 1;
    assert.equal(cut, Math.floor((20 * 8_192) / MAXIMUM_LINE_BYTES));
    assert.equal(lines.flush().length, 1);
    assert.equal(lines.flush().length, 0);
  });
});

describe('log agent', () => {
  const origin = originOf(undefined, 0, 'guid', 'APP/PROC/WEB', 'cell-1');

  function agent(maximumBufferBytes?: number) {
    const control = fakeControl();
    const state = join(directory, `state-${++serial}`);
    const path = join(directory, `log-${serial}`);
    writeFileSync(path, '');
    const open = () => new LogAgent({ ingress: control.ingress, directory: state, log: silentLog, maximumBufferBytes });
    const follow = (logs: LogAgent, bytesPerSecond = -1) =>
      logs.follow({ handle: 'h', processId: 'app', path, origin, rateLimit: new LogRateLimit(bytesPerSecond) });
    return { control: control.control, path, open, follow };
  }

  test('LOG-01: while the log cache is away nothing is lost and order is kept, with a small buffer', async () => {
    const { control, path, open, follow } = agent(20_000);
    const logs = open();
    const following = follow(logs);
    control.away = true;
    const expected = Array.from({ length: 2_000 }, (_, i) => `line ${i}`);
    for (const line of expected) appendFileSync(path, record(line));
    await new Promise((resolve) => setTimeout(resolve, 200));
    control.away = false;
    await eventually('all arrive', () => control.lines().length >= 2_000);
    await following.finish();
    await logs.close();
    assert.deepEqual(control.lines(), expected);
  });

  test('the end of a process does not wait for a log cache that is away', async () => {
    const { control, path, open, follow } = agent(1_000);
    const logs = open();
    control.away = true;
    const following = follow(logs);
    appendFileSync(path, record('x'.repeat(500)).repeat(10));
    await new Promise((resolve) => setTimeout(resolve, 50));
    appendFileSync(path, record('more'));
    const began = performance.now();
    await following.finish(100);
    assert.ok(performance.now() - began < 1_000);
    await logs.close();
  });

  test('a new agent goes on where the log cache had acknowledged', async () => {
    const { control, path, open, follow } = agent();
    const first = open();
    follow(first);
    appendFileSync(path, record('one') + record('two'));
    await eventually('they arrive', () => control.lines().length === 2);
    await first.close();
    appendFileSync(path, record('three'));
    const second = open();
    const following = follow(second);
    await eventually('the third arrives', () => control.lines().length === 3);
    await following.finish();
    await second.close();
    assert.deepEqual(control.lines(), ['one', 'two', 'three']);
  });

  test('a file that conmon replaced is read to its end before the new one', async () => {
    const { control, path, open, follow } = agent();
    const logs = open();
    const following = follow(logs);
    appendFileSync(path, record('old 1'));
    await eventually('the first arrives', () => control.lines().length === 1);
    appendFileSync(path, record('old 2'));
    writeFileSync(`${path}.tmp`, record('new 1'));
    renameSync(`${path}.tmp`, path);
    appendFileSync(path, record('new 2'));
    await eventually('all arrive', () => control.lines().length === 4);
    await following.finish();
    await logs.close();
    assert.deepEqual(control.lines(), ['old 1', 'old 2', 'new 1', 'new 2']);
  });

  test('an app over its log rate limit is told once a second and its lines are dropped', async () => {
    const { control, path, open, follow } = agent();
    const logs = open();
    const following = follow(logs, 100);
    appendFileSync(path, record('x'.repeat(10)).repeat(50));
    await following.finish();
    await eventually('they arrive', () => control.lines().length > 0);
    await logs.close();
    const told = control.lines().filter((line) => line === 'app instance exceeded log rate limit (100 bytes/sec)');
    assert.ok(told.length >= 1 && told.length <= 2);
    assert.ok(control.lines().length <= 22);
  });
});

test('a log rate is that of the last whole second', () => {
  const limit = new LogRateLimit(-1);
  limit.admit(500, 10_100);
  limit.admit(500, 10_900);
  assert.equal(limit.rate(11_500), 1_000);
  assert.equal(limit.rate(13_500), 0);
  assert.equal(new LogRateLimit(0).admit(1, 1_000), 'tell');
});
