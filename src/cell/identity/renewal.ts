import type { KeyAndCertificate } from '../../kit/pki.ts';
import { VALIDITY_MS } from './instance-identity.ts';

/** New credentials come four hours before the old end (IID-10), spread over half an hour. */
const LEAD_MS = 4 * 3_600_000;
const SPREAD_MS = 30 * 60_000;
const RETRY_MS = 60_000;

/** Renews one instance's credentials in time, again and again, until the returned function is called. */
export function keepRenewed(options: {
  expiresAt: number;
  now: () => number;
  /** Issues and puts in place. */
  renew: () => Promise<KeyAndCertificate>;
  failed: (error: unknown) => void;
  leadMs?: number;
}): () => void {
  let stopped = false;
  let timer: NodeJS.Timeout;
  const plan = (expiresAt: number) => {
    const wait = expiresAt - options.now() - (options.leadMs ?? LEAD_MS + Math.random() * SPREAD_MS);
    timer = setTimeout(run, Math.max(0, wait));
    timer.unref();
  };
  const run = async () => {
    if (stopped) return;
    try {
      const issuedAt = options.now();
      await options.renew();
      if (!stopped) plan(issuedAt + VALIDITY_MS);
    } catch (error) {
      options.failed(error);
      if (!stopped) {
        timer = setTimeout(run, RETRY_MS);
        timer.unref();
      }
    }
  };
  plan(options.expiresAt);
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}
