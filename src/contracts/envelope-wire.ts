import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { type Envelope, EnvelopeSchema, type Gauge, GaugeSchema, LogSchema } from './gen/loggregator_pb.js';
import type { EnvelopeInit } from './log-envelopes.ts';

// An envelope on the wire is what loggregator.proto says. From one line of an instance to the next only time and text change:
// what stays is encoded and decoded once, which makes either ten times as fast.

/** What stands before a field: its number and how it is encoded. */
const tagOf = (field: { number: number }, type: WireType): number => (field.number << 3) | type;
const TIMESTAMP = tagOf(EnvelopeSchema.field.timestampNs, WireType.Varint);
const LOG = tagOf(EnvelopeSchema.field.log, WireType.LengthDelimited);
const GAUGE = tagOf(EnvelopeSchema.field.gauge, WireType.LengthDelimited);
const PAYLOAD = tagOf(LogSchema.field.payload, WireType.LengthDelimited);
const STDERR = tagOf(LogSchema.field.stderr, WireType.Varint);

const NOTHING = new Uint8Array();
/** That an int64 has. */
const LAST_TIME = 0x7fff_ffff_ffff_ffffn;

/** Where an envelope comes from. */
export type EnvelopeHead = Pick<Envelope, 'sourceId' | 'instanceId' | 'tags'>;

/** An envelope as it was read. Those of one origin share their tags. */
export interface ReadEnvelope extends EnvelopeHead {
  timestampNs: bigint;
  message:
    | {
        case: 'log';
        stderr: boolean;
        /** Where its text is in what it came in: whoever keeps it copies it. */
        bytes: Buffer;
        start: number;
        end: number;
      }
    | { case: 'gauge'; metrics: Gauge['metrics'] }
    | { case: undefined };
}

/** Encodes envelopes of few origins. */
export class EnvelopeWriter {
  /** By the tags, which an origin has as long as its names are the same. */
  readonly #heads = new WeakMap<object, { sourceId: string; instanceId: string; bytes: Uint8Array }>();
  /** Empty after each: its memory is used again. */
  readonly #writer = new BinaryWriter();
  readonly #stamp = Buffer.alloc(10);

  /** Throws for what has no place on the wire, such as a time beyond 64 bits. */
  write(envelope: EnvelopeInit): Uint8Array {
    try {
      return this.#write(envelope);
    } catch (error) {
      this.#writer.finish(); // what was begun is no part of the next one
      throw error;
    }
  }

  #write({ timestampNs = 0n, sourceId = '', instanceId = '', tags = {}, message }: EnvelopeInit): Uint8Array {
    let head = this.#heads.get(tags);
    if (head?.sourceId !== sourceId || head.instanceId !== instanceId) {
      const bytes = toBinary(EnvelopeSchema, create(EnvelopeSchema, { sourceId, instanceId, tags }));
      head = { sourceId, instanceId, bytes };
      this.#heads.set(tags, head);
    }
    if (message?.case === 'log' && timestampNs >= 0n && timestampNs <= LAST_TIME) {
      return this.#log(timestampNs, head.bytes, message.value);
    }
    const writer = this.#writer.uint32(TIMESTAMP).int64(timestampNs).raw(head.bytes);
    if (message?.case === 'log') {
      const { payload = new Uint8Array(), stderr = false } = message.value;
      writer.uint32(LOG).fork().uint32(PAYLOAD).bytes(payload);
      if (stderr) writer.uint32(STDERR).bool(true);
      writer.join();
    } else if (message?.case === 'gauge') {
      const gauge = toBinary(GaugeSchema, create(GaugeSchema, message.value));
      writer.uint32(GAUGE).bytes(gauge);
    }
    return writer.finish();
  }

  /** In memory that it shares with others of its time: a piece of its own for each would cost more than all else. */
  #log(
    time: bigint,
    head: Uint8Array,
    { payload = NOTHING, stderr = false }: { payload?: Uint8Array; stderr?: boolean },
  ): Uint8Array {
    const stamp = this.#stamp;
    const stampBytes = writeTime(stamp, time);
    const inner = 1 + varintBytes(payload.length) + payload.length + (stderr ? 2 : 0);
    const bytes = Buffer.allocUnsafe(1 + stampBytes + head.length + 1 + varintBytes(inner) + inner);
    bytes[0] = TIMESTAMP;
    stamp.copy(bytes, 1, 0, stampBytes);
    let at = 1 + stampBytes;
    bytes.set(head, at);
    at = writeLength(bytes, at + head.length, LOG, inner);
    at = writeLength(bytes, at, PAYLOAD, payload.length);
    bytes.set(payload, at);
    if (stderr) bytes.set([STDERR, 1], at + payload.length);
    return bytes;
  }
}

/** As a varint, 28 bits at a time: more than 53 no number holds. Gives how many bytes it takes. */
function writeTime(bytes: Buffer, time: bigint): number {
  let at = 0;
  let above = time;
  do {
    let part = Number(above & 0xfff_ffffn);
    above >>= 28n;
    for (let group = 0; group < 4 && (above > 0n || part > 0 || at === 0); group += 1) {
      bytes[at++] = (part & 0x7f) | (above > 0n || part > 0x7f ? 0x80 : 0);
      part >>>= 7;
    }
  } while (above > 0n);
  return at;
}

/** As a varint. */
function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value >>> 7; rest > 0; rest >>>= 7) bytes += 1;
  return bytes;
}

/** What stands before a field and how long it is; gives where it begins. */
function writeLength(bytes: Buffer, start: number, tag: number, length: number): number {
  let at = start;
  bytes[at++] = tag;
  let rest = length;
  for (; rest > 0x7f; rest >>>= 7) bytes[at++] = (rest & 0x7f) | 0x80;
  bytes[at++] = rest;
  return at;
}

/** Of heads that are remembered, so that they take a bounded place: some megabytes. */
const MOST_HEADS = 4096;
const MOST_HEAD_BYTES = 2048;

/** Decodes envelopes of origins that come again. */
export class EnvelopeReader {
  /** By their bytes. */
  readonly #heads = new Map<string, EnvelopeHead>();

  /** All of a batch. Throws where one is no envelope. */
  read(batch: readonly Uint8Array[]): ReadEnvelope[] {
    let memory: BatchMemory | undefined;
    return batch.map((bytes) => {
      // They are parts of what came in one call.
      if (memory?.bytes.buffer !== bytes.buffer) memory = new BatchMemory(bytes.buffer);
      return this.#read(memory, bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
    });
  }

  #read(memory: BatchMemory, start: number, end: number): ReadEnvelope {
    const { reader } = memory;
    let timestampNs = 0n;
    let message: ReadEnvelope['message'] = { case: undefined };
    // The head stands in one piece, as it is always written; where it does not, all is decoded in the ordinary way.
    let headStart = start;
    let headEnd = start;
    for (reader.pos = start; reader.pos < end; ) {
      const at = reader.pos;
      const field = reader.uint32();
      if (field === TIMESTAMP) timestampNs = reader.int64() as bigint;
      else if (field === LOG) message = memory.log(memory.lengthDelimited(end));
      else if (field === GAUGE) message = memory.gauge(memory.lengthDelimited(end));
      else {
        if ((field & 7) === WireType.LengthDelimited) reader.pos = memory.lengthDelimited(end);
        else reader.skip(field & 7, field >>> 3);
        if (headEnd === start) headStart = at;
        else if (headEnd !== at) return whole(memory, start, end);
        headEnd = reader.pos;
      }
    }
    requireEnd(reader.pos, end);
    const { sourceId, instanceId, tags } = this.#head(memory, headStart, headEnd);
    return { timestampNs, sourceId, instanceId, tags, message };
  }

  #head({ bytes }: BatchMemory, start: number, end: number): EnvelopeHead {
    const key = bytes.toString('latin1', start, end);
    const known = this.#heads.get(key);
    if (known) return known;
    const head = fromBinary(EnvelopeSchema, bytes.subarray(start, end));
    if (key.length > MOST_HEAD_BYTES) return head;
    if (this.#heads.size >= MOST_HEADS) this.#heads.clear();
    this.#heads.set(key, head);
    return head;
  }
}

/** What came in one call, read in place: a view for each envelope would cost more than all else. */
class BatchMemory {
  readonly bytes: Buffer;
  readonly reader: BinaryReader;

  constructor(memory: ArrayBufferLike) {
    this.bytes = Buffer.from(memory);
    this.reader = new BinaryReader(this.bytes);
  }

  /** Where what comes next ends; `reader` stands at its first byte. Throws where that is beyond `most`. */
  lengthDelimited(most: number): number {
    const end = this.reader.uint32() + this.reader.pos;
    if (end > most) throw new RangeError('a field ends beyond its message');
    return end;
  }

  log(end: number): ReadEnvelope['message'] {
    const { reader } = this;
    let stderr = false;
    let start = 0;
    let textEnd = 0;
    while (reader.pos < end) {
      const field = reader.uint32();
      if (field === PAYLOAD) {
        const until = this.lengthDelimited(end);
        start = reader.pos;
        textEnd = until;
        reader.pos = until;
      } else if (field === STDERR) stderr = reader.bool();
      else reader.skip(field & 7, field >>> 3);
    }
    requireEnd(reader.pos, end);
    return { case: 'log', stderr, bytes: this.bytes, start, end: textEnd };
  }

  gauge(end: number): ReadEnvelope['message'] {
    const { metrics } = fromBinary(GaugeSchema, this.bytes.subarray(this.reader.pos, end));
    this.reader.pos = end;
    return { case: 'gauge', metrics };
  }
}

function whole({ bytes }: BatchMemory, start: number, end: number): ReadEnvelope {
  const { timestampNs, sourceId, instanceId, tags, message } = fromBinary(EnvelopeSchema, bytes.subarray(start, end));
  const head = { timestampNs, sourceId, instanceId, tags };
  if (message.case === 'gauge') return { ...head, message: { case: 'gauge', metrics: message.value.metrics } };
  if (message.case === undefined) return { ...head, message: { case: undefined } };
  const { payload, stderr } = message.value;
  return { ...head, message: { case: 'log', stderr, bytes: Buffer.from(payload), start: 0, end: payload.length } };
}

function requireEnd(position: number, end: number): void {
  if (position !== end) throw new RangeError('a message ends within a field');
}
