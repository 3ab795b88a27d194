import { Agent, request } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TestPlatform } from './platform.ts';

/** What clients saw that never stopped asking. */
export interface Seen {
  answered: number;
  /** Every request that did not get a 200, with when and why. */
  failures: string[];
  /** How often each body came. */
  bodies: Map<string, number>;
}

/**
 * Asks an app without a break while `body` runs: over a new connection each time, and over connections that are kept. It goes
 * to the router by address, so that nothing but the platform is between.
 */
export async function askedThroughout(
  platform: TestPlatform,
  host: string,
  body: () => Promise<void>,
  path = '/',
): Promise<Seen> {
  const seen: Seen = { answered: 0, failures: [], bodies: new Map() };
  let over = false;
  const kept = new Agent({ keepAlive: true });
  const ask = (agent: Agent): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const failed = (why: string): void => {
      seen.failures.push(`${new Date().toISOString()} ${why}`);
      resolve();
    };
    const options = {
      host: '127.0.0.1',
      port: platform.httpsPort,
      servername: host,
      headers: { host: `${host}:${platform.httpsPort}` },
      path,
      ca: platform.credentials.ca_cert,
      agent,
      timeout: 20_000,
    };
    const call = request(options, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', (error) => failed(`body: ${error.message}`));
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        if (response.statusCode !== 200) return failed(`${response.statusCode} ${text.slice(0, 200)}`);
        seen.answered += 1;
        seen.bodies.set(text, (seen.bodies.get(text) ?? 0) + 1);
        resolve();
      });
    });
    call.on('error', (error) => failed(error.message));
    call.on('timeout', () => call.destroy(new Error('no answer in 20 s')));
    call.end();
    return promise;
  };
  const client = async (agentOf: () => Agent): Promise<void> => {
    while (!over) {
      await ask(agentOf());
      await sleep(5);
    }
  };
  const clients = [client(() => new Agent({ keepAlive: false })), client(() => kept), client(() => kept)];
  try {
    await sleep(500);
    await body();
    await sleep(500);
  } finally {
    over = true;
    await Promise.all(clients);
    kept.destroy();
  }
  return seen;
}
