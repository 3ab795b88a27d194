import { Agent, get } from 'node:https';
import type { LookupFunction } from 'node:net';

export interface LoadResult {
  asked: number;
  failures: string[];
  slowestMs: number;
}

/** HTTPS clients of a router on loopback (the machine's resolver is not asked) that ask one after another, on new and on kept-alive connections, until they are stopped. */
export function startLoad(options: { url: string; ca: string; newConnections?: number; keptAlive?: number }): {
  stop(): Promise<LoadResult>;
} {
  const result: LoadResult = { asked: 0, failures: [], slowestMs: 0 };
  let running = true;
  const agents = [
    ...Array.from({ length: options.newConnections ?? 2 }, () => new Agent({ keepAlive: false, ca: options.ca })),
    ...Array.from(
      { length: options.keptAlive ?? 2 },
      () => new Agent({ keepAlive: true, maxSockets: 1, ca: options.ca }),
    ),
  ];
  const clients = agents.map(async (agent) => {
    while (running) {
      result.asked += 1;
      const began = performance.now();
      const failure = await askOnce(options.url, agent);
      result.slowestMs = Math.max(result.slowestMs, performance.now() - began);
      if (failure !== null) result.failures.push(`${new Date().toISOString()} ${failure}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    agent.destroy();
  });
  return {
    stop: async () => {
      running = false;
      await Promise.all(clients);
      return result;
    },
  };
}

const loopback: LookupFunction = (_name, options, done) => {
  if (options.all) done(null, [{ address: '127.0.0.1', family: 4 }]);
  else done(null, '127.0.0.1', 4);
};

function askOnce(url: string, agent: Agent): Promise<string | null> {
  const { promise, resolve } = Promise.withResolvers<string | null>();
  const request = get(url, { agent, timeout: 20_000, lookup: loopback }, (response) => {
    response.resume();
    response.on('error', (error) => resolve(String(error)));
    response.on('end', () => resolve(response.statusCode === 200 ? null : `status ${response.statusCode}`));
  });
  request.on('timeout', () => request.destroy(new Error('no answer in 20 s')));
  request.on('error', (error: NodeJS.ErrnoException) => {
    // A server may close a kept-alive connection between two requests; a client asks again (RFC 9112, 9.3.1).
    if (request.reusedSocket && error.code === 'ECONNRESET') return resolve(null);
    resolve(String(error));
  });
  return promise;
}
