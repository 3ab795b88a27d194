import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTPayload, jwtVerify } from 'jose';
import type { RevocationList } from './revocation-list.ts';
import { MAX_ACCESS_TOKEN_SECONDS } from './token-lifetime.ts';
import { answerWithin } from './uaa-unavailable.ts';

/** Who calls, as UAA says it. `userId` is null for a client acting for itself. */
export interface AccessToken {
  userId: string | null;
  userName: string | null;
  clientId: string;
  origin: string | null;
  scopes: ReadonlySet<string>;
  jti: string;
  /** Seconds since 1970. */
  expiresAt: number;
}

/** Why a token was refused; never shown in more detail than "Invalid Auth Token". */
export class InvalidTokenError extends Error {
  override readonly name = 'InvalidTokenError';
}

/** How far the clocks of two machines may stand apart. */
const CLOCK_SKEW_SECONDS = 30;

const KEYS_WITHIN_MS = 2_000;

/** What is wrong with the times of a token whose signature and expiry are good; null where nothing is. */
export function lifetimeFault(
  { iat, exp }: JWTPayload,
  now: Date,
  longestSeconds = MAX_ACCESS_TOKEN_SECONDS,
): string | null {
  if (typeof iat !== 'number' || typeof exp !== 'number') return 'it does not say how long it lives';
  if (iat > now.getTime() / 1_000 + CLOCK_SKEW_SECONDS) return 'it was issued in the future';
  return exp - iat > longestSeconds ? 'it lives too long' : null;
}

/** The number of a claim that UAA leaves out where it is 0. */
export function generationOf(payload: JWTPayload, claim: 'user_generation' | 'client_generation'): number {
  const value = payload[claim];
  return typeof value === 'number' && Number.isSafeInteger(value) ? value : 0;
}

/**
 * Checks access tokens without asking UAA each time: RS256 alone, known key id, issuer, audience, expiry, a bounded life,
 * that it is an access token, and that it is not revoked as of a few seconds ago.
 */
export class AccessTokenVerifier {
  readonly #issuer: string;
  readonly #audience: string;
  readonly #keys: () => Promise<JSONWebKeySet>;
  readonly #revocations: Pick<RevocationList, 'revokes'>;
  /** Keys are imported once for as long as the same set is given. */
  readonly #imported = new WeakMap<JSONWebKeySet, ReturnType<typeof createLocalJWKSet>>();

  /** `audience` is the room's own, e.g. "cloud_controller"; `keys` gives UAA's current and former public keys. */
  constructor(options: {
    issuer: string;
    audience: string;
    keys: () => Promise<JSONWebKeySet>;
    revocations: Pick<RevocationList, 'revokes'>;
  }) {
    this.#issuer = options.issuer;
    this.#audience = options.audience;
    this.#keys = options.keys;
    this.#revocations = options.revocations;
  }

  /** Takes the token without "bearer ". Throws InvalidTokenError, and UaaUnavailableError where that cannot be decided now. */
  async verify(token: string): Promise<AccessToken> {
    const payload = await this.#signed(token);
    const fault = lifetimeFault(payload, new Date());
    if (fault !== null) throw new InvalidTokenError(fault);
    const read = accessTokenOf(payload);
    const revoked = await this.#revocations.revokes({
      ...read,
      userGeneration: generationOf(payload, 'user_generation'),
      clientGeneration: generationOf(payload, 'client_generation'),
    });
    if (revoked) throw new InvalidTokenError('it is revoked');
    return read;
  }

  async #signed(token: string): Promise<JWTPayload> {
    const keys = await answerWithin(this.#keys(), KEYS_WITHIN_MS, 'the keys of UAA');
    try {
      const { payload } = await jwtVerify(token, this.#importedOnce(keys), {
        algorithms: ['RS256'],
        issuer: this.#issuer,
        audience: this.#audience,
        requiredClaims: ['exp', 'iat', 'jti', 'client_id'],
      });
      return payload;
    } catch (error) {
      if (error instanceof errors.JOSEError) throw new InvalidTokenError(error.code, { cause: error });
      throw error;
    }
  }

  #importedOnce(keys: JSONWebKeySet): ReturnType<typeof createLocalJWKSet> {
    const imported = this.#imported.get(keys) ?? createLocalJWKSet(keys);
    this.#imported.set(keys, imported);
    return imported;
  }
}

function accessTokenOf(payload: JWTPayload): AccessToken {
  const { jti, exp, client_id: clientId, scope } = payload;
  const isAccessToken = typeof jti === 'string' && !jti.endsWith('-r') && payload['token_use'] !== 'id';
  if (!isAccessToken || typeof clientId !== 'string' || exp === undefined || !isStrings(scope)) {
    throw new InvalidTokenError('not an access token');
  }
  const text = (name: string): string | null => {
    const value = payload[name];
    return typeof value === 'string' ? value : null;
  };
  return {
    userId: text('user_id'),
    userName: text('user_name'),
    clientId,
    origin: text('origin'),
    scopes: new Set(scope),
    jti,
    expiresAt: exp,
  };
}

function isStrings(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}
