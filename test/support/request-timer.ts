import { Agent, request } from 'node:https';
import { setTimeout as pause } from 'node:timers/promises';
import type { TestPlatform } from './platform.ts';

/** How long one client's requests to an app take, on a kept connection, one after the other with a short pause. */
export class RequestTimer {
  readonly #platform: TestPlatform;
  readonly #host: string;

  constructor(platform: TestPlatform, app: string) {
    this.#platform = platform;
    this.#host = `${app}.${platform.domain}`;
  }

  /** Times in milliseconds of those that were answered with 200, and what happened to the others. */
  async run(forMs: number): Promise<{ times: number[]; failures: string[] }> {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const times: number[] = [];
    const failures: string[] = [];
    const end = performance.now() + forMs;
    while (performance.now() < end) {
      const began = performance.now();
      const failure = await this.#once(agent);
      if (failure === null) times.push(performance.now() - began);
      else failures.push(failure);
      await pause(5);
    }
    agent.destroy();
    return { times, failures };
  }

  #once(agent: Agent): Promise<string | null> {
    const { promise, resolve } = Promise.withResolvers<string | null>();
    const { credentials, httpsPort: port } = this.#platform;
    const host = this.#host;
    const options = { host: '127.0.0.1', servername: host, port, headers: { host }, ca: credentials.ca_cert, agent };
    const call = request({ ...options, timeout: 10_000 }, (response) => {
      response.resume();
      response.on('end', () => resolve(response.statusCode === 200 ? null : `status ${response.statusCode}`));
    });
    call.on('timeout', () => call.destroy(new Error('no answer in 10 s')));
    call.on('error', (error) => resolve(error.message));
    call.end();
    return promise;
  }
}

/** The value that `fraction` of all are at or below. */
export function percentile(values: readonly number[], fraction: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * fraction))] ?? Number.NaN;
}
