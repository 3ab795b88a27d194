import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ReadEnvelope } from '../../../src/contracts/envelope-wire.ts';
import { DEFAULT_LIMITS, LogCache, type LogCacheLimits } from '../../../src/loggregator/log-cache.ts';
import { nameFilter } from '../../../src/loggregator/name-filter.ts';
import { type Entry, SourceLog } from '../../../src/loggregator/source-log.ts';

const NOW = 1_800_000_000_000_000_000n;
const cacheOf = (limits: Partial<LogCacheLimits> = {}): LogCache =>
  new LogCache({ ...DEFAULT_LIMITS, ...limits }, () => NOW);
const logOf = (bytes: Buffer) => ({ case: 'log' as const, stderr: false, bytes, start: 0, end: bytes.length });
const line = (text: string, timestampNs: bigint, more: Partial<ReadEnvelope> = {}): ReadEnvelope => ({
  sourceId: 'app',
  instanceId: '0',
  timestampNs,
  tags: { source_type: 'APP/PROC/WEB' },
  message: logOf(Buffer.from(text)),
  ...more,
});
const all = {
  start: 0n,
  end: null,
  limit: 1_000,
  maxBytes: 1_000_000,
  descending: false,
  select: (entry: Entry) => entry,
};
const texts = (cache: LogCache, range: Partial<typeof all> = {}, source = 'app'): string[] =>
  cache
    .read(source, { ...all, ...range })
    .map((entry) => (entry.kind === 'LOG' ? Buffer.from(entry.payload, 'base64').toString() : entry.kind));

test('LOG-01: lines come back in the order of their timestamps, late ones where they belong', () => {
  const cache = cacheOf();
  cache.put([line('a', 10n), line('c', 30n)]);
  cache.put([line('b', 20n), line('d', 40n)]);
  assert.deepEqual(texts(cache), ['a', 'b', 'c', 'd']);
  assert.deepEqual(texts(cache, { descending: true, limit: 2 }), ['d', 'c']);
  assert.deepEqual(texts(cache, { start: 20n, limit: 2 }), ['b', 'c']);
});

test('lines that share a timestamp keep their order and are found one after the other by "last + 1"', () => {
  const cache = cacheOf();
  cache.put(['a', 'b', 'c', 'd'].map((text) => line(text, 10n)));
  cache.put([line('e', 11n)]);
  const read: string[] = [];
  for (let start = 0n; ; ) {
    const [entry] = cache.read('app', { ...all, start, limit: 1 });
    if (!entry) break;
    read.push(...texts(cache, { start, limit: 1 }));
    start = entry.timestamp + 1n;
  }
  assert.deepEqual(read, ['a', 'b', 'c', 'd', 'e']);
});

test('SECURITY 25: a read ends at a bound of bytes: the newest first, or a reader who goes on finds every line', () => {
  const cache = cacheOf();
  cache.put(Array.from({ length: 20 }, (_, n) => line(`${n} ${'x'.repeat(7_500)}`, BigInt(n + 1))));
  const bounded = { ...all, maxBytes: 31_000 };
  const numbers = (range: Partial<typeof all>) =>
    texts(cache, { ...bounded, ...range }).map((text) => parseInt(text, 10));
  assert.deepEqual(numbers({ descending: true }), [19, 18, 17]);
  const read: number[] = [];
  for (let start = 0n; ; ) {
    const found = cache.read('app', { ...bounded, start });
    if (found.length === 0) break;
    read.push(...numbers({ start }));
    start = found.at(-1)!.timestamp + 1n;
  }
  assert.deepEqual(
    read,
    Array.from({ length: 20 }, (_, n) => n),
  );
  assert.deepEqual(numbers({ maxBytes: 10 }), [0], 'one that is larger comes alone');
});

test('a batch that is sent again is kept once, also where its lines had moved on', () => {
  const cache = cacheOf();
  const batch = (): ReadEnvelope[] => [line('a', 10n), line('b', 10n), line('c', 20n)];
  cache.put(batch());
  cache.put(batch());
  assert.deepEqual(texts(cache), ['a', 'b', 'c']);
  cache.put([line('a', 10n, { instanceId: '1' })]);
  assert.equal(texts(cache).length, 4);
});

test('a source keeps its newest lines, and says how many went', () => {
  const cache = cacheOf({ envelopesPerSource: 100 });
  for (let n = 1n; n <= 1_000n; n += 1n) cache.put([line(String(n), n)]);
  const kept = texts(cache);
  assert.equal(kept.length, 100);
  assert.deepEqual([kept[0], kept.at(-1)], ['901', '1000']);
  assert.deepEqual([...cache.meta()], [['app', { count: 100, expired: 900, oldest: 901n, newest: 1000n }]]);
});

test('LOG-01, SECURITY 32: an organization whose apps flood pushes out its own lines, and nobody else’s', () => {
  const cache = cacheOf({ totalBytes: 1_000_000, bytesPerSource: 120_000 });
  const of = (organization: string) => ({ source_type: 'APP/PROC/WEB', organization_id: organization });
  cache.put([line('quiet', 1n, { sourceId: 'quiet', tags: of('quiet-org') })]);
  cache.put([line('of the platform', 1n, { sourceId: 'platform' })]);
  for (let count = 0; count < 400; count += 1) {
    const flood = line('x'.repeat(10_000), BigInt(count + 2), {
      sourceId: `flood-${count % 40}`,
      tags: of('flooding-org'),
    });
    cache.put([flood]);
  }
  assert.ok(cache.bytes <= 1_000_000 && cache.bytes > 500_000, `${cache.bytes}`);
  assert.deepEqual(texts(cache, {}, 'quiet'), ['quiet']);
  assert.deepEqual(texts(cache, {}, 'platform'), ['of the platform']);
});

test('memory is bounded: the source that was silent for longest gives way, and is gone with its last line', () => {
  const cache = cacheOf({ totalBytes: 100_000 });
  const payload = 'x'.repeat(750); // 1,000 characters of base64
  cache.put([line(payload, 1n, { sourceId: 'silent' })]);
  for (let n = 1n; n <= 50n; n += 1n) cache.put([line(payload, n, { sourceId: 'first' })]);
  for (let n = 1n; n <= 60n; n += 1n) {
    cache.put([line(payload, n, { sourceId: 'second' })]);
    assert.ok(cache.bytes <= 100_000);
  }
  assert.deepEqual(texts(cache, {}, 'silent'), []);
  assert.ok(![...cache.meta()].some(([source]) => source === 'silent'));
  assert.equal(texts(cache, {}, 'second').length, 60);
  assert.ok(texts(cache, {}, 'first').length < 50);
});

test('a source that floods gives way itself and leaves its neighbours alone', () => {
  const cache = cacheOf({ totalBytes: 1_000_000, bytesPerSource: 50_000 });
  cache.put([line('quiet', 1n, { sourceId: 'quiet' })]);
  for (let n = 1n; n <= 5_000n; n += 1n) cache.put([line('y'.repeat(1_000), n, { sourceId: 'loud' })]);
  assert.deepEqual(texts(cache, {}, 'quiet'), ['quiet']);
  assert.ok(cache.bytes < 60_000);
});

test('the count of bytes is exact after all kinds of insertion and removal', () => {
  const cache = cacheOf({ envelopesPerSource: 50, bytesPerSource: 20_000 });
  for (let n = 0; n < 2_000; n += 1) {
    cache.put([line('z'.repeat(n % 300), BigInt(1 + ((n * 7_919) % 1_000)), { sourceId: `s${n % 3}` })]);
  }
  let expected = 0;
  for (const [source] of cache.meta()) {
    const copy = new SourceLog();
    for (const entry of cache.read(source, all)) {
      assert.ok(entry.kind === 'LOG');
      const { case: _, ...text } = logOf(Buffer.from(entry.payload, 'base64'));
      copy.insert({ ...entry, ...text });
    }
    expected += copy.bytes;
  }
  assert.equal(cache.bytes, expected);
});

test('what was read stays as it was, whatever takes the place of its lines', () => {
  const cache = cacheOf({ bytesPerSource: 40_000 });
  cache.put(Array.from({ length: 20 }, (_, n) => line(`first ${n} ${'x'.repeat(900)}`, BigInt(n + 1))));
  const read = cache.read('app', all);
  for (let n = 0; n < 200; n += 1) cache.put([line(`later ${n} ${'y'.repeat(900)}`, BigInt(n + 100))]);
  assert.ok(texts(cache).every((text) => text.startsWith('later')));
  const kept = read.map((entry) => (entry.kind === 'LOG' ? Buffer.from(entry.payload, 'base64').toString() : ''));
  assert.deepEqual(
    kept.map((text) => text.slice(0, 9).trim()),
    Array.from({ length: 20 }, (_, n) => `first ${n} ${'x'.repeat(2)}`.slice(0, 9).trim()),
  );
});

test('lines of all lengths and gauges are each what was sent, in whatever order they come and go', () => {
  const cache = cacheOf({ envelopesPerSource: 40, bytesPerSource: 400_000 });
  const sent = new Map<bigint, string>();
  for (let n = 0; n < 500; n += 1) {
    const at = BigInt(1 + ((n * 7_919) % 2_003));
    if (n % 9 === 0) {
      const metrics = { cpu: { $typeName: 'GaugeValue', unit: 'percentage', value: n / 7 } } as never;
      cache.put([line('', at, { message: { case: 'gauge', metrics } })]);
      sent.set(at, String(n / 7));
    } else {
      const text = `${n} ${'ä'.repeat((n * n) % 1_500)}${n % 50 === 1 ? 'long'.repeat(10_000) : ''}`;
      cache.put([line(text, at)]);
      sent.set(at, text);
    }
  }
  const found = cache.read('app', { ...all, maxBytes: Number.POSITIVE_INFINITY });
  const order = found.map(({ timestamp }) => timestamp);
  assert.deepEqual(
    order,
    order.toSorted((one, other) => Number(one - other)),
  );
  assert.equal(found.length, 40);
  for (const entry of found) {
    const text =
      entry.kind === 'LOG' ? Buffer.from(entry.payload, 'base64').toString() : String(entry.metrics['cpu']?.value);
    assert.equal(text, sent.get(entry.timestamp));
  }
});

test('SECURITY 25: a source that writes long lines alone holds what it may and no more', (context) => {
  const sizes: number[] = [];
  const allocate = Buffer.allocUnsafeSlow;
  context.mock.method(Buffer, 'allocUnsafeSlow', (size: number) => {
    sizes.push(size);
    return allocate(size);
  });
  const cache = cacheOf({ bytesPerSource: 1_000_000 });
  for (let n = 0; n < 200; n += 1) cache.put([line('l'.repeat(60_000), BigInt(n + 1))]);
  assert.ok(sizes.length > 0);
  assert.ok(Math.max(...sizes) <= 60_000, `a piece of ${Math.max(...sizes)} bytes`);
});

test('SECURITY 25: what sources that come and go have held is used again', (context) => {
  let taken = 0;
  const allocate = Buffer.allocUnsafeSlow;
  context.mock.method(Buffer, 'allocUnsafeSlow', (size: number) => {
    taken += size;
    return allocate(size);
  });
  const cache = cacheOf({ totalBytes: 2_000_000, bytesPerSource: 500_000 });
  const flood = (from: number): void => {
    for (let n = from; n < from + 200; n += 1) {
      const lines = Array.from({ length: 100 }, (_, m) =>
        line('z'.repeat(1_000), BigInt(m + 1), { sourceId: `s${n}` }),
      );
      cache.put(lines);
    }
  };
  flood(0);
  const first = taken;
  flood(200);
  flood(400);
  // But for the small pieces that each source begins with.
  assert.ok(taken - first < 400 * 20_000, `${taken - first} more`);
  assert.ok(first < 20_000_000, `${first}`);
});

test('a line from far in the future is taken as one of now; it would hide what follows', () => {
  const cache = cacheOf();
  cache.put([line('ahead', NOW + 3_600_000_000_000n), line('no time', 0n)]);
  for (const entry of cache.read('app', all)) assert.ok(entry.timestamp - NOW < 10n);
});

test('name filters are matched without backtracking', () => {
  const match = (pattern: string, name: string): boolean | undefined => nameFilter(pattern)?.(name);
  assert.equal(match('^cpu$', 'cpu'), true);
  assert.equal(match('^cpu$', 'cpus'), false);
  assert.equal(match('http', 'gorouter.http.latency'), true);
  assert.equal(match('^http.*latency$', 'http.p99.latency'), true);
  assert.equal(match('rss|cpu', 'memory_rss'), true);
  assert.equal(match('a.b', 'a_b'), true);
  assert.equal(match('a\\.b', 'a_b'), false);
  assert.equal(match('x.+', 'x'), false);
  assert.equal(nameFilter('(a+)+$'), null);
  const startedAt = performance.now();
  assert.equal(match(`${'.*a'.repeat(60)}$`, 'a'.repeat(20_000).concat('b')), false);
  assert.ok(performance.now() - startedAt < 1_000);
});
