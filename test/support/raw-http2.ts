import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';

/** A header field as its bytes are to stand, nothing checked. */
export type Field = readonly [name: string, value: string];

/** What became of one stream. */
export interface StreamResult {
  status: number | null;
  body: string;
  /** RST_STREAM's error code (RFC 9113 section 7), null where there was none. */
  reset: number | null;
  /** GOAWAY's error code. */
  goaway: number | null;
  /** The peer closed the connection. */
  closed: boolean;
}

export const FRAME = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6, goaway: 7, continuation: 9 } as const;
const END_STREAM = 1;
const END_HEADERS = 4;
const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
/** RFC 7541 appendix A: the statuses that have an entry. */
const INDEXED_STATUS = [200, 204, 206, 304, 400, 404, 500];

/** One frame (RFC 9113 section 4.1). */
export function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(payload.length, 0, 3);
  header[3] = type;
  header[4] = flags;
  header.writeUInt32BE(stream, 5);
  return Buffer.concat([header, payload]);
}

/** HPACK without table and compression: each field literal (RFC 7541 section 6.2.2), so that any byte can be sent. */
export function literalFields(fields: readonly Field[]): Buffer {
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), literal(name), literal(value)]));
}

function literal(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  return Buffer.concat([integer(bytes.length), bytes]);
}

/** A length in seven bits or more (RFC 7541 section 5.1). */
function integer(value: number): Buffer {
  if (value < 127) return Buffer.from([value]);
  const bytes = [127];
  let rest = value - 127;
  for (; rest >= 128; rest >>= 7) bytes.push((rest & 127) | 128);
  bytes.push(rest);
  return Buffer.from(bytes);
}

/** HEADERS with its CONTINUATIONs, and DATA where there is a body. */
export function requestFrames(stream: number, fields: readonly Field[], body?: string): Buffer {
  const block = literalFields(fields);
  const pieces: Buffer[] = [];
  for (let at = 0; at === 0 || at < block.length; at += 16_000) {
    const last = at + 16_000 >= block.length;
    const flags = (last ? END_HEADERS : 0) | (at === 0 && body === undefined ? END_STREAM : 0);
    pieces.push(frame(at === 0 ? FRAME.headers : FRAME.continuation, flags, stream, block.subarray(at, at + 16_000)));
  }
  if (body !== undefined) pieces.push(frame(FRAME.data, END_STREAM, stream, Buffer.from(body, 'latin1')));
  return Buffer.concat(pieces);
}

/** An HTTP/2 connection that sends what it is told to, when it is told to. */
export class RawHttp2 {
  readonly #socket: TLSSocket;
  readonly #results = new Map<number, StreamResult>();
  readonly #ended = new Set<number>();
  readonly #watchers = new Set<() => void>();
  #waiting = Buffer.alloc(0);
  #closed = false;
  #lastByteAt = Date.now();

  constructor(options: ConnectionOptions, first: Buffer = Buffer.alloc(0)) {
    this.#socket = connect({ ...options, ALPNProtocols: ['h2'] });
    // At once, so that it comes before whatever is written while the handshake goes on.
    this.write(Buffer.concat([Buffer.from(PREFACE), frame(FRAME.settings, 0, 0, Buffer.alloc(0)), first]));
    this.#socket.on('error', () => {}); // its close tells
    this.#socket.on('close', () => {
      this.#closed = true;
      for (const result of this.#results.values()) result.closed = true;
      this.#changed();
    });
    this.#socket.on('data', (chunk) => {
      this.#lastByteAt = Date.now();
      this.#waiting = Buffer.concat([this.#waiting, Buffer.from(chunk)]);
      this.#read();
      this.#changed();
    });
  }

  write(frames: Buffer): void {
    this.#socket.write(frames);
  }

  stream(id: number): StreamResult {
    const known = this.#results.get(id);
    if (known) return known;
    const result = { status: null, body: '', reset: null, goaway: null, closed: this.#closed };
    this.#results.set(id, result);
    return result;
  }

  ended(id: number): boolean {
    return this.#ended.has(id);
  }

  /** Whether the condition came true before the connection was closed and before nothing had come for so long. */
  async until(condition: () => boolean, quietMs: number): Promise<boolean> {
    this.#lastByteAt = Date.now();
    while (!condition()) {
      const left = this.#lastByteAt + quietMs - Date.now();
      if (this.#closed || left <= 0) return false;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#watchers.add(resolve);
      const timer = setTimeout(resolve, left);
      await promise;
      clearTimeout(timer);
      this.#watchers.delete(resolve);
    }
    return true;
  }

  close(): void {
    this.#socket.destroy();
  }

  #changed(): void {
    for (const watcher of this.#watchers) watcher();
  }

  #read(): void {
    while (this.#waiting.length >= 9) {
      const length = this.#waiting.readUIntBE(0, 3);
      if (this.#waiting.length < 9 + length) return;
      const [type = 0, flags = 0] = this.#waiting.subarray(3, 5);
      this.#take(type, flags, this.#waiting.readUInt32BE(5) & 0x7fffffff, this.#waiting.subarray(9, 9 + length));
      this.#waiting = this.#waiting.subarray(9 + length);
    }
  }

  #take(type: number, flags: number, id: number, payload: Buffer): void {
    if (type === FRAME.settings && (flags & 1) === 0) this.write(frame(FRAME.settings, 1, 0, Buffer.alloc(0)));
    if (type === FRAME.goaway) for (const each of this.#results.values()) each.goaway = payload.readUInt32BE(4);
    if (id === 0) return;
    const result = this.stream(id);
    const status = type === FRAME.headers ? statusOf(payload) : null;
    if (status !== null && (result.status ?? 0) < 200) result.status = status;
    if (type === FRAME.data) result.body += payload.toString('latin1');
    if (type === FRAME.reset) result.reset = payload.readUInt32BE(0);
    const last = (type === FRAME.data || type === FRAME.headers) && (flags & END_STREAM) !== 0;
    if (type === FRAME.reset || last) this.#ended.add(id);
  }
}

/**
 * Sends frames on a new HTTP/2 connection and tells what became of each stream, until all of `streams` ended, the peer
 * closed, or nothing came for `quietMs`.
 */
export async function sendHttp2(
  options: ConnectionOptions,
  frames: Buffer,
  streams: readonly number[] = [1],
  quietMs = 10_000,
): Promise<StreamResult[]> {
  const connection = new RawHttp2(options, frames);
  const results = streams.map((stream) => connection.stream(stream));
  await connection.until(() => streams.length > 0 && streams.every((stream) => connection.ended(stream)), quietMs);
  connection.close();
  return results.map((result) => ({ ...result }));
}

/** `:status` comes first: by its entry of the static table, or as a literal of its name's entry. */
function statusOf(block: Buffer): number | null {
  let at = 0;
  while ((block[at]! & 0xe0) === 0x20) at += 1; // a new size of the table
  const first = block[at]!;
  if (first & 0x80) return INDEXED_STATUS[(first & 0x7f) - 8] ?? null;
  const length = block[at + 1]! & 0x7f;
  return Number(block.subarray(at + 2, at + 2 + length).toString('latin1')) || null;
}
