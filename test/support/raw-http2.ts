import { type ConnectionOptions, connect } from 'node:tls';

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

/**
 * Sends frames on a new HTTP/2 connection and tells what became of each stream, until all of `streams` ended, the peer
 * closed, or nothing came for `quietMs`.
 */
export function sendHttp2(
  options: ConnectionOptions,
  frames: Buffer,
  streams: readonly number[] = [1],
  quietMs = 600,
): Promise<StreamResult[]> {
  const { promise, resolve, reject } = Promise.withResolvers<StreamResult[]>();
  const results = new Map<number, StreamResult>(
    streams.map((stream) => [stream, { status: null, body: '', reset: null, goaway: null, closed: false }]),
  );
  const ended = new Set<number>();
  let waiting = Buffer.alloc(0);
  let done = false;
  const finish = () => {
    done = true;
    socket.destroy();
    resolve([...results.values()]);
  };
  const take = (type: number, flags: number, stream: number, payload: Buffer) => {
    const result = results.get(stream);
    if (type === FRAME.settings && (flags & 1) === 0) socket.write(frame(FRAME.settings, 1, 0, Buffer.alloc(0)));
    if (type === FRAME.goaway) for (const each of results.values()) each.goaway = payload.readUInt32BE(4);
    if (!result) return;
    if (type === FRAME.headers && result.status === null) result.status = statusOf(payload);
    if (type === FRAME.data) result.body += payload.toString('latin1');
    if (type === FRAME.reset) result.reset = payload.readUInt32BE(0);
    if (type === FRAME.reset || ((type === FRAME.data || type === FRAME.headers) && flags & END_STREAM)) {
      ended.add(stream);
    }
  };
  const socket = connect({ ...options, ALPNProtocols: ['h2'] }, () => {
    socket.write(Buffer.concat([Buffer.from(PREFACE), frame(FRAME.settings, 0, 0, Buffer.alloc(0)), frames]));
  });
  socket.setTimeout(quietMs, finish);
  socket.on('error', (error) => (results.size === 0 ? reject(error) : undefined));
  socket.on('close', () => {
    if (!done) for (const result of results.values()) result.closed = true;
    finish();
  });
  socket.on('data', (chunk) => {
    waiting = Buffer.concat([waiting, Buffer.from(chunk)]);
    while (waiting.length >= 9) {
      const length = waiting.readUIntBE(0, 3);
      if (waiting.length < 9 + length) break;
      take(waiting[3]!, waiting[4]!, waiting.readUInt32BE(5) & 0x7fffffff, waiting.subarray(9, 9 + length));
      waiting = waiting.subarray(9 + length);
    }
    if (streams.length > 0 && ended.size === streams.length) finish();
  });
  return promise;
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
