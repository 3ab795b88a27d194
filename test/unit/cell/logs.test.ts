import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { LogAgent } from '../../../src/cell/logs/agent.ts';
import { cellOrigin } from '../../../src/cell/logs/origins.ts';
import { LogRateLimit } from '../../../src/cell/logs/rate-limit.ts';
import { LineAssembler, MAXIMUM_LINE_BYTES, parseRecord } from '../../../src/cell/logs/records.ts';
import { eventually, fakeControl } from '../../support/fake-control.ts';
import { silentLog } from '../../support/postgresql.ts';

const directory = mkdtempSync(join(tmpdir(), 'rep-logs-'));
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

describe('a line longer than an envelope', () => {
  /** The pieces of one line whose parts are these. */
  function piecesOf(parts: readonly Buffer[], stderr = false): Buffer[] {
    const lines = new LineAssembler();
    const pieces = parts.flatMap((content, i) => {
      const line = lines.push({ timestampNs: BigInt(i), stderr, partial: i < parts.length - 1, content });
      return line ? [line.payload] : [];
    });
    return [...pieces, ...lines.flush().map(({ payload }) => payload)];
  }
  const slices = (bytes: Buffer, size: number) =>
    Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size));

  test('is cut between characters, whatever their length and wherever the parts end', () => {
    for (const character of ['é', '€', '😀']) {
      for (const shift of [0, 1, 2, 3]) {
        const text = 'x'.repeat(shift) + character.repeat(50_000);
        const pieces = piecesOf(slices(Buffer.from(text), 8_191), shift % 2 === 1);
        assert.ok(pieces.length > 1);
        for (const piece of pieces) assert.deepEqual(Buffer.from(piece.toString('utf8')), piece, character);
        assert.equal(Buffer.concat(pieces).toString(), text);
      }
    }
  });

  test('passes bytes that are no UTF-8 as they are', () => {
    for (const byte of [0x80, 0xc0, 0xff]) {
      const bytes = Buffer.alloc(150_000, byte);
      assert.deepEqual(Buffer.concat(piecesOf(slices(bytes, 8_192))), bytes);
    }
    // Begun characters that are never completed: held back for one piece, and not lost.
    const begun = Buffer.alloc(150_000, 0xe2);
    assert.deepEqual(Buffer.concat(piecesOf(slices(begun, 8_192))), begun);
  });
});

describe('log agent', () => {
  const origin = cellOrigin(undefined, { index: 0, guid: 'guid' }, 'APP/PROC/WEB', 'cell-1');

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

  test('LOG-01: the last lines of a staging are held while the buffer is full, and what is left out is counted', async () => {
    const { control, open } = agent(20_000);
    const logs = open();
    control.away = true;
    const lines = logs.lines(origin);
    for (let i = 0; i < 2_000; i += 1) lines.line(`line ${i}`);
    lines.line('the reason', true);
    setTimeout(() => {
      control.away = false;
    }, 300);
    await lines.readable(new AbortController().signal);
    const arrived = control.lines();
    assert.deepEqual(arrived.slice(-2), ['line 1999', 'the reason'], 'before it resolves');
    const said = arrived.findIndex((line) => line.startsWith('('));
    assert.equal(arrived[said], `(${2_001 - (arrived.length - 1)} lines were left out)`);
    assert.equal(arrived.length - said - 1, 200);
    await logs.close();
  });

  test('LOG-01: a line that meets a full buffer is sent once there is room, though no other line comes', async () => {
    const { control, open } = agent(20_000);
    const logs = open();
    control.away = true;
    const lines = logs.lines(origin);
    for (let i = 0; i < 500; i += 1) lines.line(`line ${i}`);
    lines.line('Exit status 0');
    control.away = false;
    await eventually('the last arrives', () => control.lines().at(-1) === 'Exit status 0');
    const said = control.lines().findIndex((line) => line.startsWith('('));
    assert.equal(control.lines()[said], `(${501 - (control.lines().length - 1)} lines were left out)`);
    await logs.close();
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
    assert.ok(performance.now() - began < 4_000, 'less than it would wait for room');
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
