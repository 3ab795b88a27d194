import { createLocalJWKSet, errors, type JSONWebKeySet, jwtVerify } from 'jose';

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

/** Checks access tokens offline: RS256 alone, known key id, issuer, audience, expiry, and that it is an access token. */
export class AccessTokenVerifier {
  readonly #issuer: string;
  readonly #audience: string;
  readonly #keys: () => Promise<JSONWebKeySet>;
  /** Keys are imported once for as long as the same set is given. */
  readonly #imported = new WeakMap<JSONWebKeySet, ReturnType<typeof createLocalJWKSet>>();

  /** `audience` is the room's own, e.g. "cloud_controller"; `keys` gives UAA's current and former public keys. */
  constructor(options: { issuer: string; audience: string; keys: () => Promise<JSONWebKeySet> }) {
    this.#issuer = options.issuer;
    this.#audience = options.audience;
    this.#keys = options.keys;
  }

  /** Takes the token without "bearer ". Throws InvalidTokenError. */
  async verify(token: string): Promise<AccessToken> {
    try {
      const { payload } = await jwtVerify(token, this.#importedOnce(await this.#keys()), {
        algorithms: ['RS256'],
        issuer: this.#issuer,
        audience: this.#audience,
        requiredClaims: ['exp', 'jti', 'client_id'],
      });
      const { jti, client_id: clientId, scope, exp } = payload;
      const isAccessToken =
        typeof jti === 'string' && !jti.endsWith('-r') && payload['token_use'] !== 'id' && Array.isArray(scope);
      if (!isAccessToken || typeof clientId !== 'string' || !scope.every((item) => typeof item === 'string')) {
        throw new InvalidTokenError('not an access token');
      }
      const text = (name: string): string | null =>
        typeof payload[name] === 'string' ? (payload[name] as string) : null;
      return {
        userId: text('user_id'),
        userName: text('user_name'),
        clientId,
        origin: text('origin'),
        scopes: new Set(scope),
        jti,
        expiresAt: exp!,
      };
    } catch (error) {
      if (error instanceof InvalidTokenError) throw error;
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
