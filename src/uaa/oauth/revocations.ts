import type { Kysely } from 'kysely';
import type { UaaSchema } from '../schema.ts';
import type { Clock } from '../settings.ts';

/** The ids of tokens that were revoked before they expired. */
export class Revocations {
  readonly #db: Kysely<UaaSchema>;
  readonly #clock: Clock;

  constructor(db: Kysely<UaaSchema>, clock: Clock) {
    this.#db = db;
    this.#clock = clock;
  }

  async has(jti: string): Promise<boolean> {
    const row = await this.#db.selectFrom('revoked_tokens').select('jti').where('jti', '=', jti).executeTakeFirst();
    return row !== undefined;
  }

  /** Kept until the token would have expired. */
  async add(jti: string, expiresAt: Date): Promise<void> {
    await this.#db
      .insertInto('revoked_tokens')
      .values({ jti, expires_at: expiresAt })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }

  async prune(): Promise<void> {
    await this.#db.deleteFrom('revoked_tokens').where('expires_at', '<', this.#clock()).execute();
  }
}
