import type { Client } from '@connectrpc/connect';
import { messageOf } from '../kit/errors.ts';
import type { Logger } from '../kit/log.ts';
import { Reconciler } from '../kit/reconcile.ts';
import type { Revocation, TokenRevocations } from './gen/token-revocations_pb.js';
import { MAX_ACCESS_TOKEN_SECONDS } from './token-lifetime.ts';
import { answerWithin } from './uaa-unavailable.ts';

/** What a token is revoked by. A token from before there were generations is of generation 0. */
export interface RevocableToken {
  jti: string;
  userId: string | null;
  userGeneration: number;
  clientId: string;
  clientGeneration: number;
}

export interface RevocationListTimes {
  /** How often UAA is asked, besides whenever the bus says that something was revoked. */
  pollMs: number;
  /** What is older than this is no ground to let a token pass. */
  maxAgeMs: number;
  /** How long one check waits for an answer of UAA. */
  waitMs: number;
}
const REVOCATION_TIMES: RevocationListTimes = { pollMs: 1_000, maxAgeMs: 5_000, waitMs: 2_000 };

/** An entry is kept for as long as a token may live, and an hour more, in case a clock is set. */
const KEPT_MS = (MAX_ACCESS_TOKEN_SECONDS + 3_600) * 1_000;

interface Entry {
  leastGeneration: number;
  until: number;
}

/**
 * The revocations of UAA, in memory, for the verifiers of this process. It lets nothing pass on knowledge older than
 * `maxAgeMs`: it asks UAA first, and where UAA does not answer the check fails with UaaUnavailableError.
 */
export class RevocationList {
  readonly #uaa: Pick<Client<typeof TokenRevocations>, 'since'>;
  readonly #times: RevocationListTimes;
  readonly #log: Logger;
  readonly #poll: Reconciler;
  readonly #tokens = new Map<string, Entry>();
  readonly #users = new Map<string, Entry>();
  readonly #clients = new Map<string, Entry>();
  #position = 0n;
  /** When the question was asked whose answer is the newest we have. */
  #asOf = Number.NEGATIVE_INFINITY;
  #pulling: Promise<void> | null = null;
  #unknown = false;
  #prunedAt = performance.now();

  constructor(options: {
    uaa: Pick<Client<typeof TokenRevocations>, 'since'>;
    log: Logger;
    times?: Partial<RevocationListTimes>;
  }) {
    this.#uaa = options.uaa;
    this.#log = options.log;
    this.#times = { ...REVOCATION_TIMES, ...options.times };
    this.#poll = new Reconciler('token-revocations', this.#times.pollMs, () => this.#pull().catch(() => {}), this.#log);
  }

  start(): void {
    this.#poll.start();
  }

  /** Something was revoked: looks at once. */
  wake(): void {
    this.#poll.wake();
  }

  stop(): Promise<void> {
    return this.#poll.stop();
  }

  /** Whether the token is revoked. Throws UaaUnavailableError where that cannot be known. */
  async revokes(token: RevocableToken): Promise<boolean> {
    if (this.#age() > this.#times.maxAgeMs) await this.#freshen();
    return (
      this.#tokens.has(token.jti) ||
      (token.userId !== null && token.userGeneration < leastOf(this.#users, token.userId)) ||
      token.clientGeneration < leastOf(this.#clients, token.clientId)
    );
  }

  #age(): number {
    return performance.now() - this.#asOf;
  }

  /** An answer that was long under way is itself too old: then UAA is asked again while there is time. */
  async #freshen(): Promise<void> {
    const deadline = performance.now() + this.#times.waitMs;
    while (this.#age() > this.#times.maxAgeMs) {
      await answerWithin(this.#pull(), deadline - performance.now(), 'the revocations of UAA');
    }
  }

  /** One question at a time. */
  #pull(): Promise<void> {
    this.#pulling ??= this.#ask().finally(() => {
      this.#pulling = null;
    });
    return this.#pulling;
  }

  async #ask(): Promise<void> {
    const askedAt = performance.now();
    try {
      const limitMs = this.#times.maxAgeMs;
      const asked = this.#uaa.since({ position: this.#position }, { timeoutMs: limitMs });
      const answer = await answerWithin(asked, limitMs, 'the revocations of UAA');
      for (const revocation of answer.revocations) this.#enter(revocation);
      this.#position = answer.position;
      this.#asOf = askedAt;
      this.#prune();
      if (this.#unknown) this.#log.info('the revocations of UAA are known again');
      this.#unknown = false;
    } catch (error) {
      if (!this.#unknown) this.#log.warn('the revocations of UAA are not known', { error: messageOf(error) });
      this.#unknown = true;
      throw error;
    }
  }

  #enter({ subject, leastGeneration }: Revocation): void {
    const entry = { leastGeneration: Number(leastGeneration), until: performance.now() + KEPT_MS };
    switch (subject.case) {
      case 'tokenId':
        this.#tokens.set(subject.value, entry);
        return;
      case 'userId':
        this.#users.set(subject.value, entry);
        return;
      case 'clientId':
        this.#clients.set(subject.value, entry);
        return;
    }
  }

  #prune(): void {
    const now = performance.now();
    if (now - this.#prunedAt < 60_000) return;
    this.#prunedAt = now;
    for (const entries of [this.#tokens, this.#users, this.#clients]) {
      for (const [subject, { until }] of entries) if (until < now) entries.delete(subject);
    }
  }
}

function leastOf(entries: ReadonlyMap<string, Entry>, subject: string): number {
  return entries.get(subject)?.leastGeneration ?? 0;
}
