import { connect, type Socket } from 'node:net';

export interface RawAnswer {
  /** 0 where none came. */
  status: number;
  text: string;
  /** What the socket took of the body before the connection ended. */
  bodyBytes: number;
  /** The other side ended the connection, in time. */
  ended: boolean;
}

/**
 * Sends a head and then, where asked, a body without end; gives the answer, and what was taken until the connection ended. Chunked
 * unless the head has a Content-Length. `over` is a connection of the caller's, such as one with TLS.
 */
export function rawRequest(
  url: string,
  head: { method: string; path: string; headers?: Readonly<Record<string, string>> },
  options: { endless?: boolean; waitMs?: number; over?: Socket } = {},
): Promise<RawAnswer> {
  const { promise, resolve } = Promise.withResolvers<RawAnswer>();
  const { hostname, port } = new URL(url);
  const socket = options.over ?? connect(Number(port), hostname);
  const framing = head.headers?.['content-length'] === undefined ? { 'transfer-encoding': 'chunked' } : {};
  const lines = Object.entries({ host: `${hostname}:${port}`, ...framing, ...head.headers });
  const text = `${head.method} ${head.path} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
  let answer = '';
  let ended = false;
  let inTime = true;
  const chunk = Buffer.concat([Buffer.from('10000\r\n'), Buffer.alloc(65_536, 'a'), Buffer.from('\r\n')]);
  const pump = (): void => {
    while (!ended && socket.write(chunk));
  };
  const finish = (): void => {
    if (ended) return;
    ended = true;
    clearTimeout(timer);
    const pending = socket.writableLength;
    const bodyBytes = Math.max(0, socket.bytesWritten - pending - text.length);
    socket.destroy();
    resolve({ status: Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0), text: answer, bodyBytes, ended: inTime });
  };
  const timer = setTimeout(() => {
    inTime = false;
    finish();
  }, options.waitMs ?? 10_000);
  socket.on('data', (data) => {
    answer += data.toString('latin1');
    if (!options.endless && answer.includes('\r\n\r\n')) finish();
  });
  socket.on('error', () => {}).on('close', finish);
  socket.write(text);
  if (options.endless) {
    socket.on('drain', pump);
    pump();
  }
  return promise;
}
