import type { RateLimit } from '../kit/rate.ts';

/** What callers may ask of the API. Clients in ordinary use, also a hundred pushes at once, stay far below. */
export interface RequestLimits {
  /** Of one user, or of one client that acts for itself; not for administrators. Null: no limit. */
  caller: RateLimit | null;
  /** Of one address, for requests without a token that is good. Null: no limit. */
  anonymous: RateLimit | null;
}

export const REQUEST_LIMITS: RequestLimits = {
  caller: { limit: 20_000, intervalMs: 60_000 },
  anonymous: { limit: 6_000, intervalMs: 60_000 },
};
