import type { ConnectionOptions } from 'node:tls';
import { type Field, FRAME, frame, literalFields, RawHttp2 } from './raw-http2.ts';

/** What the requests say their bodies are long. */
export const LENGTH = 4_000;
const PADDED = 8;
export const END_STREAM = 1;
/** What would be another client's request, were it ever read as one. */
export const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: app.cupola.test\r\n\r\n';

export const data = (stream: number, bytes: number | string, flags = 0) =>
  frame(FRAME.data, flags, stream, typeof bytes === 'string' ? Buffer.from(bytes) : Buffer.alloc(bytes, 'x'));
const padded = (stream: number, bytes: number, padding: number, flags: number) =>
  frame(
    FRAME.data,
    flags | PADDED,
    stream,
    Buffer.concat([Buffer.from([padding]), Buffer.alloc(bytes, 'x'), Buffer.alloc(padding)]),
  );
const cancel = (stream: number, code: number) => frame(FRAME.reset, 0, stream, Buffer.from([0, 0, 0, code]));

/** How a client of HTTP/2 ends a request that was answered before its body was there. */
export interface Ending {
  /** Null: no Content-Length. */
  length?: number | null;
  fields?: Field[];
  /** Before the early answer, and after it. */
  first?: (stream: number) => Buffer;
  last?: (stream: number) => Buffer;
  /** The client goes away, or stays and says nothing more. */
  leaves?: 'closes' | 'stays';
}

export const HTTP2_ENDINGS: Record<string, Ending> = {
  'a short body, ended by DATA': { last: (id) => data(id, 1, END_STREAM) },
  'a short body, ended by an empty DATA': { last: (id) => data(id, 0, END_STREAM) },
  'a short body, ended with the first DATA': { first: (id) => data(id, 10, END_STREAM) },
  'a short body that is a request': { last: (id) => data(id, SMUGGLED, END_STREAM) },
  'padding in the place of the body': { last: (id) => padded(id, 1, 200, END_STREAM) },
  'many padded frames': {
    last: (id) =>
      Buffer.concat([...Array.from({ length: 15 }, () => padded(id, 1, 250, 0)), padded(id, 0, 250, END_STREAM)]),
  },
  'a short body, ended by trailers': {
    last: (id) => frame(FRAME.headers, 5, id, literalFields([['x-checksum', 'none']])),
  },
  'one byte short': { last: (id) => data(id, LENGTH - 11, END_STREAM) },
  'a body that comes late, in whole': { last: (id) => data(id, LENGTH - 10, END_STREAM) },
  'a body that comes late, and its end later': {
    last: (id) => Buffer.concat([data(id, LENGTH - 10), data(id, 0, END_STREAM)]),
  },
  'a whole body whose end comes late': { first: (id) => data(id, LENGTH), last: (id) => data(id, 0, END_STREAM) },
  'a whole body whose trailers come late': {
    first: (id) => data(id, LENGTH),
    last: (id) => frame(FRAME.headers, 5, id, literalFields([['x-checksum', 'none']])),
  },
  'a whole body that never ends': { first: (id) => data(id, LENGTH), leaves: 'stays' },
  'no body where none was said, but an end that comes late': {
    length: 0,
    first: () => Buffer.alloc(0),
    last: (id) => data(id, 0, END_STREAM),
  },
  'more than was said': { last: (id) => data(id, `${'x'.repeat(LENGTH - 10)}${SMUGGLED}`, END_STREAM) },
  'a reset: CANCEL': { last: (id) => cancel(id, 8) },
  'a reset: NO_ERROR': { last: (id) => cancel(id, 0) },
  'a short body, ended and then reset': { last: (id) => Buffer.concat([data(id, 1, END_STREAM), cancel(id, 8)]) },
  GOAWAY: { last: () => frame(FRAME.goaway, 0, 0, Buffer.alloc(8)), leaves: 'closes' },
  'a client that goes away': { leaves: 'closes' },
  'a client that never ends': { leaves: 'stays' },
  'a body far beyond the buffer': { length: 3_000_000, last: (id) => data(id, 1, END_STREAM) },
  'a body far beyond the buffer of which much came': {
    length: 3_000_000,
    first: (id) => Buffer.concat([data(id, 16_000), data(id, 16_000), data(id, 16_000)]),
    last: (id) => data(id, 1, END_STREAM),
  },
  'no length at all': { length: null, last: (id) => data(id, 1, END_STREAM) },
  'no length at all, and a reset': { length: null, last: (id) => cancel(id, 8) },
  Expect: { fields: [['expect', '100-continue']], last: (id) => data(id, 1, END_STREAM) },
  'an empty trailer section': { last: (id) => frame(FRAME.headers, 5, id, Buffer.alloc(0)) },
};

/** The head of a request whose body is `ending.length` long. */
export function earlyRequest(id: number, host: string, path: string, ending: Ending = {}, method = 'POST'): Buffer {
  const { length = LENGTH, fields = [] } = ending;
  const all: Field[] = [
    [':method', method],
    [':scheme', 'https'],
    [':authority', host],
    [':path', path],
    ...(length === null ? [] : [['content-length', String(length)] as const]),
    ...fields,
  ];
  return frame(FRAME.headers, 4, id, literalFields(all));
}

/** Sends stream 1, waits for the early answer (`waitMs` at most), and ends the stream as told. The caller closes the connection. */
export async function endEarly(
  to: ConnectionOptions,
  host: string,
  path: string,
  ending: Ending,
  { method = 'POST', waitMs = 10_000 }: { method?: string; waitMs?: number } = {},
): Promise<RawHttp2> {
  const { first = (id) => data(id, 10), last, leaves } = ending;
  const connection = new RawHttp2(to);
  connection.write(Buffer.concat([earlyRequest(1, host, path, ending, method), first(1)]));
  await connection.until(() => (connection.stream(1).status ?? 0) >= 200 || connection.ended(1), waitMs);
  if (last) connection.write(last(1));
  if (leaves === 'closes') connection.close();
  return connection;
}
