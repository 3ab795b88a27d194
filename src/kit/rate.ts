export interface RateLimit {
  /** Requests a caller may make at once, and again within each interval. */
  limit: number;
  intervalMs: number;
}

/** What one request left of its caller's allowance. */
export interface Allowance {
  allowed: boolean;
  limit: number;
  remaining: number;
  /** Until the allowance is whole again. */
  resetMs: number;
  /** Until the next request is let through. */
  waitMs: number;
}

/** More callers than these within one interval, and the one silent for longest is forgotten. */
const MOST_CALLERS = 50_000;

/** A token bucket for each caller: full at first, filled evenly, and bounded in how many it remembers. */
export class RateLimiter {
  readonly #limit: RateLimit;
  readonly #nowMs: () => number;
  /** In the order of the last request. */
  readonly #buckets = new Map<string, { tokens: number; at: number }>();

  constructor(limit: RateLimit, nowMs: () => number = () => performance.now()) {
    this.#limit = limit;
    this.#nowMs = nowMs;
  }

  take(caller: string): Allowance {
    const { limit, intervalMs } = this.#limit;
    const now = this.#nowMs();
    const known = this.#buckets.get(caller);
    const filled = known ? Math.min(limit, known.tokens + ((now - known.at) * limit) / intervalMs) : limit;
    const allowed = filled >= 1;
    const tokens = allowed ? filled - 1 : filled;
    this.#buckets.delete(caller);
    this.#buckets.set(caller, { tokens, at: now });
    if (this.#buckets.size > MOST_CALLERS) this.#forgetOldest();
    return {
      allowed,
      limit,
      remaining: Math.floor(tokens),
      resetMs: ((limit - tokens) * intervalMs) / limit,
      waitMs: tokens >= 1 ? 0 : ((1 - tokens) * intervalMs) / limit,
    };
  }

  #forgetOldest(): void {
    const [oldest] = this.#buckets.keys();
    if (oldest !== undefined) this.#buckets.delete(oldest);
  }
}
