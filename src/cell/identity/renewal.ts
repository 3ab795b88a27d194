import type { KeyAndCertificate } from '../../kit/pki.ts';
import { VALIDITY_MS } from './instance-identity.ts';

/** New credentials come four hours before the old end (IID-10), spread over half an hour. */
const LEAD_MS = 4 * 3_600_000;
const SPREAD_MS = 30 * 60_000;
const RETRY_MS = 60_000;

export interface Renewal {
  /** Renews out of turn; the next turn counts from now. Rejects when it did not succeed, and tries again by itself. */
  now(): Promise<void>;
  stop(): void;
  /** When what is in place ends (milliseconds). */
  readonly expiresAt: number;
}

/** Renews one instance's credentials in time, again and again, until it is stopped. */
export function keepRenewed(options: {
  expiresAt: number;
  now: () => number;
  /** Issues and puts in place. */
  renew: () => Promise<KeyAndCertificate>;
  failed: (error: unknown) => void;
  leadMs?: number;
}): Renewal {
  let stopped = false;
  let timer: NodeJS.Timeout;
  let { expiresAt } = options;
  let running: Promise<void> | null = null;
  const planIn = (wait: number) => {
    clearTimeout(timer);
    if (stopped) return;
    timer = setTimeout(() => void run().catch(() => {}), Math.max(0, wait));
    timer.unref();
  };
  const plan = () => planIn(expiresAt - options.now() - (options.leadMs ?? LEAD_MS + Math.random() * SPREAD_MS));
  const renew = async () => {
    try {
      const issuedAt = options.now();
      await options.renew();
      expiresAt = issuedAt + VALIDITY_MS;
      plan();
    } catch (error) {
      options.failed(error);
      planIn(RETRY_MS);
      throw error;
    }
  };
  const run = async () => {
    if (stopped) return;
    running ??= renew().finally(() => {
      running = null;
    });
    await running;
  };
  plan();
  return {
    now: async () => {
      await running?.catch(() => {}); // it may have begun under an authority of before
      await run();
    },
    stop: () => {
      stopped = true;
      clearTimeout(timer);
    },
    get expiresAt() {
      return expiresAt;
    },
  };
}
