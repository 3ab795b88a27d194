import { createHash } from 'node:crypto';
import type { Kysely } from 'kysely';
import { randomSecret } from '../../kit/crypto.ts';
import type { TokenOrigin, UaaSchema } from '../schema.ts';
import type { Clock } from '../settings.ts';

export interface CodeGrant {
  clientId: string;
  userId: string;
  /** The access token that it was asked for with; null in a code of the version before. */
  token: TokenOrigin | null;
  scopes: readonly string[];
  /** As the client gave it; null where it relied on its only registered one. */
  redirectUri: string | null;
  /** RFC 7636, method S256. */
  codeChallenge: string | null;
}

const LIFETIME_MS = 5 * 60_000;

/** One-time codes (RFC 6749 section 4.1). The database holds hashes of them. */
export class AuthorizationCodes {
  readonly #db: Kysely<UaaSchema>;
  readonly #clock: Clock;

  constructor(db: Kysely<UaaSchema>, clock: Clock) {
    this.#db = db;
    this.#clock = clock;
  }

  async issue(grant: CodeGrant): Promise<string> {
    const code = randomSecret(24);
    await this.#db
      .insertInto('authorization_codes')
      .values({
        code_hash: hashOf(code),
        client_id: grant.clientId,
        user_id: grant.userId,
        token: JSON.stringify(grant.token),
        scope: [...grant.scopes],
        redirect_uri: grant.redirectUri,
        code_challenge: grant.codeChallenge,
        expires_at: new Date(this.#clock().getTime() + LIFETIME_MS),
      })
      .execute();
    return code;
  }

  /** The grant behind a code, once; null for a code that is unknown, used or expired. A try with the wrong client uses it up. */
  async redeem(code: string): Promise<CodeGrant | null> {
    const row = await this.#db
      .deleteFrom('authorization_codes')
      .where('code_hash', '=', hashOf(code))
      .returningAll()
      .executeTakeFirst();
    if (!row || row.expires_at <= this.#clock()) return null;
    return {
      clientId: row.client_id,
      userId: row.user_id,
      token: row.token,
      scopes: row.scope,
      redirectUri: row.redirect_uri,
      codeChallenge: row.code_challenge,
    };
  }

  async prune(): Promise<void> {
    await this.#db.deleteFrom('authorization_codes').where('expires_at', '<', this.#clock()).execute();
  }
}

const hashOf = (code: string): Buffer => createHash('sha256').update(code).digest();
