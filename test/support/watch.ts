import { Agent } from 'node:https';
import { setTimeout as pause } from 'node:timers/promises';
import { PAUSE_MS } from './load.ts';
import type { TestPlatform } from './platform.ts';

/** What was seen from the first to the last request. Times in milliseconds. */
export interface Seen {
  requests: number;
  failures: { at: number; kind: string; error: string }[];
  slowestMs: number;
  /** Writes the API acknowledged, and those it did not. */
  written: string[];
  refused: number;
  /** Highest number of a log line by instance guid, and how many numbers below it were never read. */
  lines: Map<string, { highest: number; missing: number }>;
}

/**
 * Clients that ask an app over HTTPS without a break (on new connections and on kept ones), one that makes organizations, and one that
 * reads the app's log: what a fault costs them is what `stop` gives.
 */
export class Watch {
  readonly #platform: TestPlatform;
  readonly #host: string;
  readonly #appGuid: string;
  readonly #token: () => Promise<string>;
  readonly #prefix = `w${Date.now().toString(36)}`;
  readonly #began = performance.now();
  readonly #kept = new Agent({ keepAlive: true, maxSockets: 2 });
  readonly #ticks = new Map<string, Set<number>>();
  readonly #seen: Seen = { requests: 0, failures: [], slowestMs: 0, written: [], refused: 0, lines: new Map() };
  readonly #loops: Promise<void>[];
  #stopping = false;

  constructor(platform: TestPlatform, options: { host: string; appGuid: string; token: () => Promise<string> }) {
    this.#platform = platform;
    this.#host = options.host;
    this.#appGuid = options.appGuid;
    this.#token = options.token;
    this.#loops = [
      this.#ask('new'),
      this.#ask('new'),
      this.#ask('kept'),
      this.#ask('kept'),
      this.#write(),
      this.#read(),
    ];
  }

  /** Milliseconds since it began. */
  get now(): number {
    return performance.now() - this.#began;
  }

  /** When the last request failed, 0 for never. */
  get lastFailure(): number {
    return this.#seen.failures.at(-1)?.at ?? 0;
  }

  async stop(): Promise<Seen> {
    this.#stopping = true;
    await Promise.all(this.#loops);
    this.#kept.destroy();
    for (const [guid, numbers] of this.#ticks) {
      const sorted = [...numbers].sort((a, b) => a - b);
      const [first = 0, highest = 0] = [sorted[0], sorted.at(-1)];
      this.#seen.lines.set(guid, { highest, missing: highest - first + 1 - sorted.length });
    }
    return this.#seen;
  }

  async #ask(kind: 'new' | 'kept'): Promise<void> {
    while (!this.#stopping) {
      const started = performance.now();
      this.#seen.requests++;
      try {
        const { status, body } = await this.#platform.request(this.#host, {
          agent: kind === 'kept' ? this.#kept : false,
        });
        if (status !== 200) throw new Error(`status ${status}: ${body.slice(0, 100)}`);
      } catch (error) {
        this.#seen.failures.push({ at: this.now, kind, error: error instanceof Error ? error.message : String(error) });
      }
      this.#seen.slowestMs = Math.max(this.#seen.slowestMs, performance.now() - started);
      await pause(PAUSE_MS[kind]);
    }
  }

  async #write(): Promise<void> {
    for (let number = 0; !this.#stopping; number++) {
      const name = `${this.#prefix}-${number}`;
      try {
        const token = await this.#token();
        const body = JSON.stringify({ name });
        const { status } = await this.#platform.request('api', { path: '/v3/organizations', token, body });
        if (status === 201) this.#seen.written.push(name);
        else this.#seen.refused++;
      } catch {
        this.#seen.refused++; // it was not acknowledged, so it may be or not be
      }
      await pause(200);
    }
  }

  async #read(): Promise<void> {
    let since = BigInt(Date.now()) * 1_000_000n;
    while (!this.#stopping) {
      try {
        const token = await this.#token();
        const path = `/api/v1/read/${this.#appGuid}?start_time=${since}&limit=1000&envelope_types=LOG`;
        const { status, body } = await this.#platform.request('log-cache', { path, token });
        if (status === 200) since = this.#remember(body, since);
      } catch {
        // the cache is away for a moment; the next read begins where this one did
      }
      await pause(250);
    }
  }

  #remember(body: string, since: bigint): bigint {
    const { envelopes } = JSON.parse(body) as {
      envelopes: { batch: { timestamp: string; log?: { payload: string } }[] };
    };
    let latest = since;
    for (const { timestamp, log } of envelopes.batch) {
      if (BigInt(timestamp) > latest) latest = BigInt(timestamp);
      const tick = /^tick (\S+) (\d+)$/.exec(Buffer.from(log?.payload ?? '', 'base64').toString());
      if (!tick) continue;
      const numbers = this.#ticks.get(tick[1]!) ?? new Set();
      this.#ticks.set(tick[1]!, numbers.add(Number(tick[2])));
    }
    // Lines of different instances arrive out of order, and late after a fault: look back a little.
    const margin = 10_000_000_000n;
    return latest - margin > since ? latest - margin : since;
  }
}
