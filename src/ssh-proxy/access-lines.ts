import { isIPv6 } from 'node:net';
import type { EnvelopeSender } from '../contracts/envelope-sender.ts';
import { type LogOrigin, type LogSource, logEnvelope, nanosecondsOf, originOf } from '../contracts/log-envelopes.ts';
import type { Grant } from './login.ts';
import type { Remote } from './proxy-protocol.ts';

const SSH: LogSource = { type: 'SSH', origin: 'ssh-proxy', job: 'ssh-proxy', index: '0' };

/** Tells the app's log who is inside. No session waits for it, or ends with a line that is lost. */
export class AccessLines {
  readonly #envelopes: Pick<EnvelopeSender, 'offer'>;
  readonly #origin: LogOrigin;
  readonly #remote: string;

  constructor(envelopes: Pick<EnvelopeSender, 'offer'>, grant: Grant, { address, port }: Remote) {
    this.#envelopes = envelopes;
    this.#origin = originOf(grant.owner, SSH, { index: grant.index, guid: grant.instanceGuid });
    this.#remote = isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`;
  }

  opened(): void {
    this.#say(`Successful remote access by ${this.#remote}`);
  }

  ended(): void {
    this.#say(`Remote access ended for ${this.#remote}`);
  }

  #say(text: string): void {
    this.#envelopes.offer(logEnvelope(this.#origin, nanosecondsOf(Date.now()), Buffer.from(text)));
  }
}
