import { createHash, randomUUID } from 'node:crypto';
import { SignJWT } from 'jose';
import { MAX_ACCESS_TOKEN_SECONDS } from '../../contracts/token-lifetime.ts';
import type { Client } from '../clients/store.ts';
import type { SigningKeys } from '../keys/signing-keys.ts';
import { type Clock, type GrantType, MAX_REFRESH_TOKEN_SECONDS } from '../settings.ts';
import type { User } from '../users/store.ts';

export interface TokenResponse {
  access_token: string;
  token_type: 'bearer';
  refresh_token?: string;
  expires_in: number;
  scope: string;
  jti: string;
}

export interface TokenLifetimes {
  accessTokenSeconds: number;
  refreshTokenSeconds: number;
}

/** Makes tokens: JWTs signed with RS256, in the shape the platform's components and the command-line tool read. */
export class TokenIssuer {
  readonly #keys: SigningKeys;
  readonly #issuer: string;
  readonly #lifetimes: TokenLifetimes;
  readonly #clock: Clock;

  constructor(keys: SigningKeys, issuer: string, lifetimes: TokenLifetimes, clock: Clock) {
    this.#keys = keys;
    this.#issuer = issuer;
    this.#lifetimes = lifetimes;
    this.#clock = clock;
  }

  /** For a client in its own name. */
  async forClient(client: Client, scopes: readonly string[]): Promise<TokenResponse> {
    return this.#response(client, scopes, {
      ...this.#common(client, scopes, 'client_credentials'),
      sub: client.client_id,
      authorities: scopes,
      rev_sig: revocationSignatures(client, null)[0],
    });
  }

  /** For a user through a client. A refresh token comes with it where the client may refresh. */
  async forUser(
    client: Client,
    user: User,
    scopes: readonly string[],
    grantType: GrantType,
    refreshToken?: string,
  ): Promise<TokenResponse> {
    const identity = {
      sub: user.id,
      user_id: user.id,
      origin: user.origin,
      user_name: user.user_name,
      email: user.email,
      auth_time: this.#seconds(),
      rev_sig: revocationSignatures(client, user)[0],
      ...(user.token_generation > 0 ? { user_generation: user.token_generation } : {}),
      revocable: true,
    };
    const common = this.#common(client, scopes, grantType);
    const response = await this.#response(client, scopes, { ...common, ...identity });
    if (refreshToken !== undefined) return { ...response, refresh_token: refreshToken };
    if (!client.grant_types.includes('refresh_token')) return response;
    const { scope: _scope, ...refresh } = { ...common, ...identity };
    const wanted = client.refresh_token_seconds ?? this.#lifetimes.refreshTokenSeconds;
    const seconds = Math.min(wanted, MAX_REFRESH_TOKEN_SECONDS);
    return {
      ...response,
      refresh_token: await this.#sign({ ...refresh, jti: newJti('-r'), granted_scopes: scopes }, seconds),
    };
  }

  #common(client: Client, scopes: readonly string[], grantType: GrantType) {
    return {
      jti: newJti(''),
      scope: scopes,
      client_id: client.client_id,
      cid: client.client_id,
      azp: client.client_id,
      grant_type: grantType,
      zid: 'uaa',
      ...(client.token_generation > 0 ? { client_generation: client.token_generation } : {}),
      aud: audienceOf(client, scopes),
    };
  }

  async #response(
    client: Client,
    scopes: readonly string[],
    claims: { jti: string } & Record<string, unknown>,
  ): Promise<TokenResponse> {
    const wanted = client.access_token_seconds ?? this.#lifetimes.accessTokenSeconds;
    const seconds = Math.min(wanted, MAX_ACCESS_TOKEN_SECONDS);
    return {
      access_token: await this.#sign(claims, seconds),
      token_type: 'bearer',
      expires_in: seconds,
      scope: scopes.join(' '),
      jti: claims.jti,
    };
  }

  async #sign(claims: Record<string, unknown>, lifetimeSeconds: number): Promise<string> {
    const { kid, privateKey } = await this.#keys.current();
    const now = this.#seconds();
    return new SignJWT({ ...claims, iat: now, exp: now + lifetimeSeconds, iss: this.#issuer })
      .setProtectedHeader({ alg: 'RS256', kid, typ: 'JWT' })
      .sign(privateKey);
  }

  #seconds(): number {
    return Math.floor(this.#clock().getTime() / 1000);
  }
}

/** The client itself and the component each scope belongs to: what stands before its last dot. */
function audienceOf(client: Client, scopes: readonly string[]): string[] {
  const components = scopes.map((scope) => scope.slice(0, scope.includes('.') ? scope.lastIndexOf('.') : undefined));
  return [...new Set([client.client_id, ...components])];
}

/**
 * What a token was made under, newest secret first: a new password, name or address of the user, the end of the
 * client's secret of then, or a revocation of all tokens of either makes others, and tokens from before end. While a client
 * has two secrets both are good.
 */
export function revocationSignatures(client: Client, user: User | null): [string, ...string[]] {
  const identity = user ? [user.id, user.user_name, user.origin, user.email, user.password_hash ?? ''] : [];
  if (user?.token_salt) identity.push(`user ${user.token_salt}`);
  if (client.token_salt) identity.push(`client ${client.token_salt}`);
  const under = (secretHash: string): string =>
    createHash('sha256')
      .update(JSON.stringify([client.client_id, secretHash, ...identity]))
      .digest('hex')
      .slice(0, 16);
  const [newest = '', ...older] = client.secret_hashes;
  return [under(newest), ...older.map(under)];
}

const newJti = (suffix: '' | '-r'): string => randomUUID().replaceAll('-', '') + suffix;
