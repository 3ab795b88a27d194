import { connect } from 'node:net';

export interface Sent {
  method: string;
  path: string;
  headers?: Readonly<Record<string, string>>;
  /** The length that the head announces. */
  announced: number;
  /** What comes of it. */
  body: Buffer;
  /** The client goes away so long after sending that; else it waits for the other side to end the connection. */
  cutAfterMs?: number;
}

/**
 * Sends a request of which no more comes than `body`. Gives the answer's status (0 where none came), and whether the other side
 * ended the connection, or answered all that was announced.
 */
export function sendAndEnd(url: string, sent: Sent): Promise<{ status: number; text: string; ended: boolean }> {
  const { promise, resolve } = Promise.withResolvers<{ status: number; text: string; ended: boolean }>();
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  const lines = Object.entries({
    host: `${hostname}:${port}`,
    'content-length': String(sent.announced),
    ...sent.headers,
  });
  const head = `${sent.method} ${sent.path} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
  let text = '';
  let ended = true;
  const finish = (): void => {
    clearTimeout(timer);
    socket.destroy();
    resolve({ status: Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 0), text, ended });
  };
  const timer = setTimeout(() => {
    ended = false;
    finish();
  }, sent.cutAfterMs ?? 20_000);
  socket.on('data', (data) => {
    text += data.toString('latin1');
    if (sent.cutAfterMs === undefined && sent.announced <= sent.body.length && text.includes('\r\n\r\n')) finish();
  });
  socket.on('error', () => {}).on('close', finish);
  socket.write(head);
  socket.write(sent.body);
  return promise;
}
