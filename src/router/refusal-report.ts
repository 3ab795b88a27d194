import type { Client } from '@connectrpc/connect';
import { EnvelopeSender, type EnvelopeSenderOptions } from '../contracts/envelope-sender.ts';
import type { Owner } from '../contracts/gen/diego_pb.js';
import type { Ingress } from '../contracts/gen/loggregator_pb.js';
import { type EnvelopeInit, logEnvelope, nanosecondsOf } from '../contracts/log-envelopes.ts';
import type { Logger } from '../kit/log.ts';
import { routerOrigin } from './access-log.ts';
import type { Refusal } from './process-routes.ts';

/** Says what the router does not serve: in its own log, and in the log of each app behind it. Once, and again when it comes back. */
export class RefusalReport {
  readonly #envelopes: EnvelopeSender;
  readonly #routerIndex: string;
  readonly #log: Logger;
  #refused: readonly Refusal[] = [];
  /** App and text of each line that is on its way or there. */
  #told = new Set<string>();

  constructor(
    ingress: Pick<Client<typeof Ingress>, 'send'>,
    routerIndex: string,
    log: Logger,
    options: Pick<EnvelopeSenderOptions, 'mostBytes'> = {},
  ) {
    this.#envelopes = new EnvelopeSender(ingress, log, options);
    this.#routerIndex = routerIndex;
    this.#log = log;
  }

  get texts(): string[] {
    return this.#refused.map(({ text }) => text);
  }

  /** Does not wait for loggregator; what there is no room for is said at the next call: the router calls with each look at everything. */
  report(refused: readonly Refusal[]): void {
    const known = new Set(this.texts);
    for (const { text } of refused) if (!known.has(text)) this.#log.warn('not routed', { entry: text });
    this.#refused = refused;
    const before = this.#told;
    this.#told = new Set();
    for (const { text, owners } of refused) for (const owner of owners) this.#tell(owner, text, before);
  }

  /** Sends what is on its way, as far as that is soon done. */
  async close(): Promise<void> {
    await this.#envelopes.close();
  }

  #tell(owner: Owner, text: string, before: ReadonlySet<string>): void {
    const key = `${owner.appGuid} ${text}`;
    if (!before.has(key) && !this.#told.has(key)) {
      if (this.#envelopes.full) return;
      this.#envelopes.push(this.#envelope(owner, text));
    }
    this.#told.add(key);
  }

  #envelope(owner: Owner, text: string): EnvelopeInit {
    const origin = routerOrigin(owner, null, this.#routerIndex);
    return logEnvelope(origin, nanosecondsOf(Date.now()), Buffer.from(`Not routed: ${text}`), true);
  }
}
