import { Agent, get } from 'node:https';
import type { TestPlatform } from './platform.ts';

/** What a looping client saw. */
export interface Load {
  requests: number;
  /** Every answer that was no 200, and every connection that failed, with when. */
  failures: string[];
  /** Of those that succeeded, by what `group` read in the body. */
  groups: Map<string, number>;
}

export interface LoadOptions {
  /** New connection for each request, or one that is kept; one client of each kind by default. */
  kinds?: readonly ('new' | 'kept')[];
  group?: (body: string) => string;
  timeoutMs?: number;
}

/**
 * Clients that ask an app again and again until `stop`, straight at the platform's address: the machine's resolver is no
 * part of what is measured.
 */
export function startLoad(platform: TestPlatform, name: string, options: LoadOptions = {}): { stop(): Promise<Load> } {
  const { kinds = ['new', 'kept'], group = () => '', timeoutMs = 20_000 } = options;
  const load: Load = { requests: 0, failures: [], groups: new Map() };
  const host = `${name}.${platform.domain}`;
  let stopped = false;

  function once(agent: Agent): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const fail = (why: string): void => {
      load.failures.push(`${new Date().toISOString()} ${why}`);
      resolve();
    };
    const request = get(
      {
        host: '127.0.0.1',
        port: platform.httpsPort,
        servername: host,
        headers: { host },
        ca: platform.credentials.ca_cert,
        agent,
        timeout: timeoutMs,
      },
      (response) => {
        let body = '';
        response.on('data', (chunk: Buffer) => {
          body += chunk.toString();
        });
        response.on('error', (error) => fail(String(error)));
        response.on('end', () => {
          if (response.statusCode !== 200) return fail(`${response.statusCode} ${body.slice(0, 80)}`);
          const key = group(body);
          load.groups.set(key, (load.groups.get(key) ?? 0) + 1);
          resolve();
        });
      },
    );
    request.on('timeout', () => request.destroy(new Error(`no answer within ${timeoutMs} ms`)));
    request.on('error', (error) => fail(String(error)));
    return promise;
  }

  const clients = kinds.map(async (kind) => {
    const agent = new Agent({ keepAlive: kind === 'kept', maxSockets: 1 });
    while (!stopped) {
      load.requests += 1;
      await once(agent);
      await new Promise((wake) => setTimeout(wake, 5));
    }
    agent.destroy();
  });
  return {
    async stop() {
      stopped = true;
      await Promise.all(clients);
      return load;
    },
  };
}
