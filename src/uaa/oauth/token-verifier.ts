import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTPayload, jwtVerify } from 'jose';
import { generationOf, lifetimeFault } from '../../contracts/access-token.ts';
import { MAX_ACCESS_TOKEN_SECONDS } from '../../contracts/token-lifetime.ts';
import type { Client, ClientStore } from '../clients/store.ts';
import { UaaError } from '../errors.ts';
import type { SigningKeys } from '../keys/signing-keys.ts';
import type { TokenOrigin } from '../schema.ts';
import { type Clock, MAX_REFRESH_TOKEN_SECONDS } from '../settings.ts';
import type { User, UserStore } from '../users/store.ts';
import type { Revocations } from './revocations.ts';
import { revocationSignatures } from './tokens.ts';

/** A token that is in force, with those it was made for. `user` is null for a client in its own name. */
export interface LiveToken {
  kind: 'access' | 'refresh';
  jti: string;
  client: Client;
  user: User | null;
  /** Of a refresh token: what its access tokens may carry. */
  scopes: readonly string[];
  expiresAt: Date;
  claims: JWTPayload;
  origin: TokenOrigin;
}

/** Is told whose a token is once its signature is known to be good, before anything is looked up for it. */
export type Genuine = (origin: Pick<TokenOrigin, 'userId' | 'clientId'>) => void;

/**
 * Checks tokens where they were made: signature, issuer and expiry, and beyond them what only UAA knows at once: that
 * the token is not revoked and that its user and client still exist, active and with the credentials and powers of then.
 */
export class TokenVerifier {
  readonly #keys: SigningKeys;
  readonly #issuer: string;
  readonly #users: UserStore;
  readonly #clients: ClientStore;
  readonly #revocations: Revocations;
  readonly #clock: Clock;
  #imported: { from: JSONWebKeySet; keys: ReturnType<typeof createLocalJWKSet> } | null = null;

  constructor(parts: {
    keys: SigningKeys;
    issuer: string;
    users: UserStore;
    clients: ClientStore;
    revocations: Revocations;
    clock: Clock;
  }) {
    this.#keys = parts.keys;
    this.#issuer = parts.issuer;
    this.#users = parts.users;
    this.#clients = parts.clients;
    this.#revocations = parts.revocations;
    this.#clock = parts.clock;
  }

  /** Throws `invalid_token` for anything but an access token in force. */
  async access(token: string, genuine?: Genuine): Promise<LiveToken> {
    const live = await this.any(token, genuine);
    return live.kind === 'access' ? live : refuse('a refresh token was shown as an access token');
  }

  /** Throws `invalid_token` for anything but a refresh token in force. */
  async refresh(token: string): Promise<LiveToken> {
    const live = await this.any(token);
    return live.kind === 'refresh' ? live : refuse('an access token was shown as a refresh token');
  }

  async any(token: string, genuine: Genuine = () => {}): Promise<LiveToken> {
    const claims = await this.#signed(token);
    const { jti, exp, client_id: clientId, user_id: userId, rev_sig: revSig } = claims;
    if (typeof jti !== 'string' || exp === undefined || typeof clientId !== 'string') {
      return refuse('a claim is missing');
    }
    if (claims['token_use'] !== undefined) return refuse('an ID token was shown');
    const kind = jti.endsWith('-r') ? 'refresh' : 'access';
    const scopes = kind === 'refresh' ? claims['granted_scopes'] : claims['scope'];
    if (!isStrings(scopes)) return refuse('the scopes are malformed');
    if (typeof revSig !== 'string' || (userId !== undefined && typeof userId !== 'string')) {
      return refuse('a claim is malformed');
    }
    const longest = kind === 'access' ? MAX_ACCESS_TOKEN_SECONDS : MAX_REFRESH_TOKEN_SECONDS;
    const fault = lifetimeFault(claims, this.#clock(), longest);
    if (fault !== null) return refuse(fault);
    const origin = {
      jti,
      clientId,
      userId: userId ?? null,
      signature: revSig,
      clientGeneration: generationOf(claims, 'client_generation'),
      userGeneration: generationOf(claims, 'user_generation'),
    };
    genuine(origin);
    const { client, user } = await this.inForce(origin, kind);
    return { kind, jti, client, user, scopes, expiresAt: new Date(exp * 1000), claims, origin };
  }

  /** Whether a token that was genuine is revoked by now, whatever time it has left. Throws `invalid_token`. */
  async inForce(token: TokenOrigin, kind: LiveToken['kind']): Promise<{ client: Client; user: User | null }> {
    if (await this.#revocations.has(token.jti)) return refuse('the token is revoked');
    const client = await this.#clients.byId(token.clientId);
    if (!client) return refuse('the client is gone');
    const user = token.userId === null ? null : await this.#users.byId(token.userId);
    if (token.userId !== null && !user) return refuse('the user is gone');
    if (user && !user.active) return refuse('the user is not active');
    if (!revocationSignatures(client, user).includes(token.signature)) {
      return refuse('the credentials have changed since');
    }
    // What every verifier refuses; a refresh token outlives it, and gives what is left of its scopes.
    if (kind === 'access') {
      if (token.clientGeneration < client.least_token_generation) refuse('the client may less by now');
      if (user && token.userGeneration < user.token_generation) refuse('the user may less by now');
    }
    return { client, user };
  }

  async #signed(token: string): Promise<JWTPayload> {
    try {
      const from = await this.#keys.publicKeys();
      if (this.#imported?.from !== from) this.#imported = { from, keys: createLocalJWKSet(from) };
      const { payload } = await jwtVerify(token, this.#imported.keys, {
        algorithms: ['RS256'],
        issuer: this.#issuer,
        requiredClaims: ['exp', 'jti', 'client_id', 'rev_sig'],
        currentDate: this.#clock(),
      });
      return payload;
    } catch (error) {
      if (error instanceof errors.JOSEError) return refuse(error.code);
      throw error;
    }
  }
}

function isStrings(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

function refuse(reason: string): never {
  throw new UaaError('invalid_token', 'The token is invalid or has expired.', { reason });
}
