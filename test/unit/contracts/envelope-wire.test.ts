import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { EnvelopeReader, EnvelopeWriter } from '../../../src/contracts/envelope-wire.ts';
import { EnvelopeSchema } from '../../../src/contracts/gen/loggregator_pb.js';
import { type EnvelopeInit, gaugeEnvelope, logEnvelope } from '../../../src/contracts/log-envelopes.ts';

const ORIGIN = { sourceId: 'app', instanceId: '0', tags: { source_type: 'APP/PROC/WEB', app_name: 'zählt, 数える' } };
const line = (text: string, at: bigint, more: Partial<typeof ORIGIN> = {}) =>
  logEnvelope({ ...ORIGIN, ...more }, at, new TextEncoder().encode(text), text.startsWith('!'));
const KINDS: readonly EnvelopeInit[] = [
  line('hello', 1_700_000_000_123_456_789n),
  line('!to stderr', 2n),
  line('', 0n),
  ...[1n, 127n, 128n, 2n ** 28n - 1n, 2n ** 28n, 2n ** 56n, 2n ** 62n, 2n ** 63n - 1n].map((at) =>
    line(`at ${at}`, at),
  ),
  ...[126, 127, 128, 16_383, 16_384].map((length) => line('y'.repeat(length), 1n)),
  line('a negative time', -5n),
  line('of nobody', 3n, { sourceId: '', instanceId: '', tags: {} as never }),
  line(`long ${'x'.repeat(70_000)}`, 4n),
  gaugeEnvelope(ORIGIN, 5n, { cpu: { unit: 'percentage', value: 1.5 }, memory: { unit: 'bytes', value: 7 } }),
  { ...ORIGIN, timestampNs: 6n },
];
const plain = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value, (name, one) => {
      if (name === '$typeName' || name === '$unknown') return;
      if (name === 'message' && one.case === 'log' && 'bytes' in one) {
        const { stderr, bytes, start, end } = one;
        return { case: 'log', payload: bytes.toString('base64', start, end), stderr };
      }
      return typeof one === 'bigint' ? `${one}n` : one instanceof Uint8Array ? Buffer.from(one).toString('hex') : one;
    }),
  );

/** One read alone. */
const readBy = (reader: EnvelopeReader, bytes: Uint8Array) => reader.read([bytes])[0]!;
/** As the schema reads it, told as the reader does. */
function bySchema(bytes: Uint8Array): unknown {
  const { timestampNs, sourceId, instanceId, tags, message } = fromBinary(EnvelopeSchema, bytes);
  const told =
    message.case === 'log'
      ? { case: 'log', payload: Buffer.from(message.value.payload).toString('base64'), stderr: message.value.stderr }
      : { case: message.case, ...(message.case === 'gauge' ? { metrics: message.value.metrics } : {}) };
  return plain({ timestampNs, sourceId, instanceId, tags, message: told });
}

test('what is written is what the schema says, and what the schema writes is read', () => {
  const writer = new EnvelopeWriter();
  const reader = new EnvelopeReader();
  for (const round of [1, 2]) {
    for (const kind of KINDS) {
      const whole = create(EnvelopeSchema, kind);
      assert.deepEqual(
        plain(fromBinary(EnvelopeSchema, Uint8Array.from(writer.write(kind)))),
        plain(whole),
        `round ${round}`,
      );
      for (const bytes of [writer.write(kind), toBinary(EnvelopeSchema, whole)]) {
        assert.deepEqual(plain(readBy(reader, bytes)), bySchema(bytes));
      }
    }
  }
});

test('what cannot be written leaves nothing in what is written next', () => {
  const writer = new EnvelopeWriter();
  for (const bad of [line('x', 2n ** 70n), logEnvelope(ORIGIN, 1n, null as never)]) {
    assert.throws(() => writer.write(bad));
    const bytes = Uint8Array.from(writer.write(line('next', 2n)));
    assert.deepEqual(plain(fromBinary(EnvelopeSchema, bytes)), plain(create(EnvelopeSchema, line('next', 2n))));
  }
});

test('lines of one origin share their tags, those of another with the same tags have their own source', () => {
  const writer = new EnvelopeWriter();
  const reader = new EnvelopeReader();
  const [first, second, other] = [line('a', 1n), line('b', 2n), line('c', 3n, { sourceId: 'other' })].map((one) =>
    readBy(reader, writer.write(one)),
  );
  assert.equal(first!.tags, second!.tags);
  assert.deepEqual([first!.sourceId, second!.sourceId, other!.sourceId], ['app', 'app', 'other']);
  const renamed = readBy(reader, writer.write(line('d', 4n, { tags: { source_type: 'RTR', app_name: 'new' } })));
  assert.deepEqual(renamed.tags, { source_type: 'RTR', app_name: 'new' });
});

test('fields in another order, unknown ones and repeated ones are read as the schema reads them', () => {
  const part = (init: EnvelopeInit) => toBinary(EnvelopeSchema, create(EnvelopeSchema, init));
  const unknown = Buffer.from([0xfa, 0x01, 2, 1, 2]); // field 31
  const orders = [
    [
      part({ message: line('x', 0n).message! }),
      part({ sourceId: 'app' }),
      part({ timestampNs: 7n }),
      part({ tags: { a: 'b' } }),
    ],
    [part({ sourceId: 'first' }), part({ timestampNs: 7n }), unknown, part({ sourceId: 'app', instanceId: '1' })],
    [part({ timestampNs: 1n }), part({ timestampNs: 7n, sourceId: 'app' }), unknown],
  ];
  for (const parts of orders) {
    const bytes = Buffer.concat(parts);
    assert.deepEqual(plain(readBy(new EnvelopeReader(), bytes)), bySchema(bytes));
  }
});

test('what is no envelope is refused, wherever it ends', () => {
  const whole = new EnvelopeWriter().write(line('hello', 5n));
  const reader = new EnvelopeReader();
  assert.ok(readBy(reader, whole));
  const fine: number[] = [];
  for (let end = 1; end < whole.length; end += 1) {
    let expected = true;
    try {
      fromBinary(EnvelopeSchema, whole.subarray(0, end));
    } catch {
      expected = false;
    }
    if (expected) fine.push(end);
    else assert.throws(() => readBy(reader, whole.subarray(0, end)), `the first ${end} bytes`);
  }
  for (const end of fine) assert.ok(readBy(reader, whole.subarray(0, end)));
  // A length that leads beyond the text, into what stands behind it in the same memory.
  const beyond = Buffer.concat([whole, Buffer.from('the next one')]).subarray(0, whole.length);
  beyond[whole.length - 6] = 12;
  assert.throws(() => readBy(reader, beyond));
});

test('SECURITY 25: heads are remembered up to a bound', () => {
  const writer = new EnvelopeWriter();
  const reader = new EnvelopeReader();
  const first = readBy(reader, writer.write(line('a', 1n)));
  const of = (n: number) =>
    readBy(reader, writer.write(line('a', 1n, { sourceId: `app-${n}`, tags: { ...ORIGIN.tags } })));
  for (let n = 0; n < 5_000; n += 1) of(n);
  assert.notEqual(readBy(reader, writer.write(line('a', 1n))).tags, first.tags, 'forgotten');
  const large = () => line('a', 1n, { tags: { ...ORIGIN.tags, app_name: 'x'.repeat(4_000) } });
  assert.notEqual(readBy(reader, writer.write(large())).tags, readBy(reader, writer.write(large())).tags, 'never kept');
});
