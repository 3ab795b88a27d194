import { Agent, request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { type ConnectionOptions, connect } from 'node:tls';

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
}

export interface Ask {
  host: string;
  port: number;
  path?: string;
  method?: string;
  headers?: Record<string, string>;
  body?: string | undefined;
  /** PEM of the router's root; without it the request goes in the clear. */
  ca?: string;
  agent?: Agent | HttpsAgent;
  /** How long the server may say nothing. */
  waitMs?: number;
}

/** One request to 127.0.0.1 under a host's name, with the certificate checked for that name. */
export function ask({
  host,
  port,
  path = '/',
  method = 'GET',
  headers = {},
  body,
  ca,
  agent,
  waitMs = 20_000,
}: Ask): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const common = { host: '127.0.0.1', port, path, method, headers: { host, ...headers } };
  const request =
    ca === undefined
      ? httpRequest({ ...common, agent: agent ?? new Agent() })
      : httpsRequest({ ...common, servername: host, ca, agent: agent ?? new HttpsAgent() });
  request.on('error', reject);
  request.on('response', (response) => {
    const chunks: Buffer[] = [];
    response.on('data', (chunk: Buffer) => chunks.push(chunk));
    response.on('error', reject);
    response.on('end', () =>
      resolve({
        status: response.statusCode ?? 0,
        headers: response.headers,
        body: Buffer.concat(chunks).toString('utf8'),
      }),
    );
  });
  request.setTimeout(waitMs, () => request.destroy(new Error(`no answer in ${waitMs / 1000} s`)));
  request.end(body);
  return promise;
}

/** Nobody is waited for longer who says nothing, however busy the machine is. */
const SILENCE_MS = 10_000;
/** For what should not come after the last answer there is no event. */
const NOTHING_MORE_MS = 250;

/**
 * Sends bytes (each a character up to U+00FF) over TLS and gives everything that comes back until the peer closes, or until nothing
 * came any more after so many whole answers. Rejects at a silence before that.
 */
export function sendRaw(options: ConnectionOptions, text: string, answers = 1): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let received = '';
  const socket = connect(options, () => socket.write(text, 'latin1'));
  socket.setTimeout(SILENCE_MS);
  socket.on('timeout', () => {
    if (wholeAnswers(received) < answers) reject(new Error(`silence after ${JSON.stringify(received)}`));
    socket.destroy();
  });
  socket.on('data', (chunk) => {
    received += chunk.toString('latin1');
    if (wholeAnswers(received) >= answers) socket.setTimeout(NOTHING_MORE_MS);
  });
  socket.on('error', (error) => (received === '' ? reject(error) : socket.destroy()));
  socket.on('close', () => resolve(received));
  return promise;
}

/** An answer that does not say how long it is counts with its head. */
function wholeAnswers(received: string): number {
  let count = 0;
  for (let at = 0; ; count += 1) {
    const end = received.indexOf('\r\n\r\n', at);
    if (end < 0) return count;
    const [, length = '0'] = /^content-length: *(\d+)/im.exec(received.slice(at, end)) ?? [];
    at = end + 4 + Number(length);
    if (received.length < at) return count;
  }
}

/** Whether a TLS handshake succeeds, and with which protocol and suite. */
export function handshake(
  options: ConnectionOptions,
): Promise<{ protocol: string; cipher: string } | { error: string }> {
  const { promise, resolve } = Promise.withResolvers<{ protocol: string; cipher: string } | { error: string }>();
  const socket = connect(options, () => {
    resolve({ protocol: socket.getProtocol() ?? '', cipher: socket.getCipher().name });
    socket.end();
  });
  socket.on('error', (error) => resolve({ error: error.message }));
  return promise;
}
