import { Agent } from 'node:https';
import { setTimeout as pause } from 'node:timers/promises';
import type { RequestOptions, TestPlatform } from './platform.ts';

/** What looping clients saw. */
export interface Load {
  requests: number;
  /** Every answer that was no 200, and every connection that failed, with when. */
  failures: string[];
  /** How often each body came with a 200. */
  bodies: Map<string, number>;
  slowestMs: number;
}

export interface LoadOptions extends Pick<RequestOptions, 'path' | 'again' | 'timeoutMs'> {
  /** New connection for each request, or one that is kept; one client of each kind by default. */
  kinds?: readonly ('new' | 'kept')[];
}

export interface StartedLoad {
  /** Goes on growing. */
  soFar: Readonly<Load>;
  stop(): Promise<Load>;
}

/** A new connection takes some 15 ms of processor on all hops together: more of them, and clients would measure themselves. */
export const PAUSE_MS = { new: 60, kept: 20 } as const;

/** Clients that ask an app again and again until `stop`. */
export function startLoad(platform: TestPlatform, app: string, options: LoadOptions = {}): StartedLoad {
  const { kinds = ['new', 'kept'], ...how } = options;
  const load: Load = { requests: 0, failures: [], bodies: new Map(), slowestMs: 0 };
  let stopped = false;
  const once = async (agent: Agent): Promise<void> => {
    load.requests += 1;
    const began = performance.now();
    try {
      const { status, body } = await platform.request(app, { ...how, agent });
      if (status === 200) load.bodies.set(body, (load.bodies.get(body) ?? 0) + 1);
      else load.failures.push(`${new Date().toISOString()} ${status} ${body.slice(0, 200)}`);
    } catch (error) {
      load.failures.push(`${new Date().toISOString()} ${error}`);
    }
    load.slowestMs = Math.max(load.slowestMs, performance.now() - began);
  };
  const clients = kinds.map(async (kind) => {
    const agent = new Agent({ keepAlive: kind === 'kept', maxSockets: 1 });
    while (!stopped) {
      await once(agent);
      await pause(PAUSE_MS[kind]);
    }
    agent.destroy();
  });
  return {
    soFar: load,
    async stop() {
      stopped = true;
      await Promise.all(clients);
      return load;
    },
  };
}

/** Asks an app without a break while `body` runs, and half a second before and after. */
export async function askedThroughout(
  platform: TestPlatform,
  app: string,
  body: (soFar: Readonly<Load>) => Promise<void>,
): Promise<Load> {
  const load = startLoad(platform, app, { kinds: ['new', 'kept', 'kept'] });
  try {
    await pause(500);
    await body(load.soFar);
    await pause(500);
  } finally {
    await load.stop();
  }
  return load.stop();
}
