import { stripVTControlCharacters } from 'node:util';
import Type, { type Static } from 'typebox';
import type { Api } from './api.ts';

/** What is read of an envelope of the log cache. */
const Envelope = Type.Object({
  timestamp: Type.String({ pattern: '^\\d{1,19}$' }),
  tags: Type.Object({ source_type: Type.Optional(Type.String()) }),
  log: Type.Optional(Type.Object({ payload: Type.String() })),
});
const Read = Type.Object({ envelopes: Type.Object({ batch: Type.Array(Envelope) }) });

const AT_ONCE = 1_000;

/**
 * The log of an app from a moment on, read as clients of the log cache do that follow it: a staging ends when they have read its last line
 * (decision 0023).
 */
export class AppLog {
  readonly #api: Api;
  readonly #app: string;
  #next = 0n;

  private constructor(api: Api, app: string) {
    this.#api = api;
    this.#app = app;
  }

  /** Of what comes from now on. */
  static async from(api: Api, app: string): Promise<AppLog> {
    const log = new AppLog(api, app);
    const [newest] = await log.#read('descending=true&limit=1');
    if (newest) log.#next = BigInt(newest.timestamp) + 1n;
    return log;
  }

  /** The lines that have come since: of staging ("STG"), or of the app's processes ("APP"). */
  async lines(source: 'STG' | 'APP'): Promise<string[]> {
    const lines: string[] = [];
    for (;;) {
      const batch = await this.#read(`start_time=${this.#next}&limit=${AT_ONCE}`);
      for (const { timestamp, tags, log } of batch) {
        this.#next = BigInt(timestamp) + 1n;
        if (log && tags.source_type?.startsWith(source)) lines.push(...textOf(log.payload));
      }
      if (batch.length < AT_ONCE) return lines;
    }
  }

  async #read(query: string): Promise<Static<typeof Envelope>[]> {
    const { envelopes } = await this.#api.readLog(this.#app, `envelope_types=LOG&${query}`, Read);
    return envelopes.batch;
  }
}

/** An app and its buildpack may write what moves a terminal's cursor. */
function textOf(payload: string): string[] {
  const text = Buffer.from(payload, 'base64').toString();
  return text.split('\n').map((line) =>
    stripVTControlCharacters(line)
      .replaceAll(/[\p{Cc}]/gu, ' ')
      .trimEnd(),
  );
}
