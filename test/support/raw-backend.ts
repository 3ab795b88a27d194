import { type AddressInfo, createServer, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';

/** A request as its bytes came to the app. */
export interface RawRequest {
  /** "GET /path HTTP/1.1" */
  line: string;
  /** As written, in their order, repeated ones repeated. */
  headers: [name: string, value: string][];
  /** The head's bytes as they came. */
  head: string;
  body: string;
  /** The body's bytes as they came, with what frames them and its trailers. */
  framed: string;
  /** Which connection it came on, by number. */
  connection: number;
}

export interface RawBackend {
  port: number;
  requests: RawRequest[];
  /** What came that is no request, by connection. A body whose rest never came stands here too. */
  garbage: string[];
  /** Answers with this instead, once; what is written stands as it is. */
  answerNext(text: string): void;
  close(): void;
}

/** Values of a header, whatever its case. */
export function valuesOf(request: RawRequest | undefined, name: string): string[] {
  return (request?.headers ?? []).filter(([key]) => key.toLowerCase() === name.toLowerCase()).map(([, value]) => value);
}

export interface RawBackendOptions {
  port?: number;
  /** Speaks TLS with this identity and asks for a client's certificate. */
  tls?: { cert: string; key: string; ca: string };
  /** What is written as soon as a request's head is there, before its body; then nothing follows the body. */
  answerEarly?: (line: string) => string | null;
}

/**
 * An app that reads HTTP/1.1 byte by byte as RFC 9112 frames it, writes everything down, and answers each request with its
 * request line: so a test sees what the proxies made of an attack, and a smuggled request has nowhere to hide.
 */
export async function startRawBackend({ port = 0, tls, answerEarly }: RawBackendOptions = {}): Promise<RawBackend> {
  const requests: RawRequest[] = [];
  const garbage: string[] = [];
  const sockets = new Set<Socket>();
  let connections = 0;
  let next: string | null = null;
  const take = (socket: Socket) => {
    const connection = connections++;
    let waiting = '';
    let answered = false;
    sockets.add(socket);
    socket.setEncoding('latin1');
    socket.on('error', () => {});
    socket.on('close', () => {
      sockets.delete(socket);
      if (waiting) garbage.push(waiting);
    });
    socket.on('data', (chunk) => {
      waiting += chunk;
      for (;;) {
        if (answerEarly && !answered && waiting.includes('\r\n\r\n')) {
          const early = answerEarly(waiting.slice(0, waiting.indexOf('\r\n')));
          answered = early !== null;
          if (early !== null) socket.write(early);
        }
        const taken = takeRequest(waiting);
        if (!taken) return;
        waiting = waiting.slice(taken.length);
        requests.push({ ...taken.request, connection });
        if (answered) {
          answered = false;
          continue;
        }
        const body = taken.request.line;
        socket.write(
          next ?? `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
        );
        next = null;
      }
    });
  };
  const server = tls
    ? createTlsServer({ ...tls, requestCert: true, rejectUnauthorized: true }, take)
    : createServer(take);
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    requests,
    garbage,
    answerNext: (text) => {
      next = text;
    },
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

/** The first whole request of the text, and how long it is; null as long as it is not whole. */
function takeRequest(text: string): { request: Omit<RawRequest, 'connection'>; length: number } | null {
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return null;
  const head = text.slice(0, end);
  const [line = '', ...fields] = head.split('\r\n');
  const headers = fields.map((field): [string, string] => {
    const colon = field.indexOf(':');
    return colon < 0 ? [field, ''] : [field.slice(0, colon), field.slice(colon + 1).trim()];
  });
  const value = (name: string) => headers.find(([key]) => key.toLowerCase() === name)?.[1];
  const start = end + 4;
  if (/chunked/i.test(value('transfer-encoding') ?? '')) {
    const body = takeChunks(text, start);
    return (
      body && {
        request: { line, headers, head, body: body.content, framed: text.slice(start, body.end) },
        length: body.end,
      }
    );
  }
  const length = Number(value('content-length') ?? 0);
  if (text.length < start + length) return null;
  const body = text.slice(start, start + length);
  return { request: { line, headers, head, body, framed: body }, length: start + length };
}

function takeChunks(text: string, start: number): { content: string; end: number } | null {
  let content = '';
  for (let at = start; ; ) {
    const lineEnd = text.indexOf('\r\n', at);
    if (lineEnd < 0) return null;
    const size = Number.parseInt(text.slice(at, lineEnd), 16);
    at = lineEnd + 2;
    if (size === 0) {
      const trailers = text.startsWith('\r\n', at) ? at : text.indexOf('\r\n\r\n', at);
      if (trailers < 0 || text.length < trailers + 2) return null;
      return { content, end: trailers === at ? at + 2 : trailers + 4 };
    }
    if (text.length < at + size + 2) return null;
    content += text.slice(at, at + size);
    at += size + 2;
  }
}
