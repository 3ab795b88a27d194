import { createHash } from 'node:crypto';
import { type Kysely, sql } from 'kysely';
import { ACCOUNT_LOCKED, UaaError } from '../errors.ts';
import type { UaaSchema } from '../schema.ts';
import type { Clock, LockoutPolicy } from '../settings.ts';

/**
 * Counts failed logins by name, in the database: a restart or another process forgets nothing. Names that nobody has
 * are counted and locked like the others, so a lockout does not tell who exists.
 */
export class LoginGuard {
  readonly #db: Kysely<UaaSchema>;
  readonly #policy: LockoutPolicy;
  readonly #clock: Clock;

  constructor(db: Kysely<UaaSchema>, policy: LockoutPolicy, clock: Clock) {
    this.#db = db;
    this.#policy = policy;
    this.#clock = clock;
  }

  /** Throws `unauthorized` while the name is locked. */
  async refuseLocked(userName: string, origin: string): Promise<void> {
    const row = await this.#db
      .selectFrom('login_failures')
      .select('name_hash')
      .where('name_hash', '=', nameHash(userName, origin))
      .where('locked_until', '>', this.#clock())
      .executeTakeFirst();
    if (row) throw new UaaError('unauthorized', ACCOUNT_LOCKED, { reason: 'the name is locked' });
  }

  async failed(userName: string, origin: string): Promise<void> {
    const now = this.#clock();
    const forgotten = new Date(now.getTime() - this.#policy.withinSeconds * 1000);
    const lockedUntil = new Date(now.getTime() + this.#policy.lockSeconds * 1000);
    await sql`
      INSERT INTO login_failures AS f (name_hash, failures, counted_since, locked_until)
      VALUES (${nameHash(userName, origin)}, 1, ${now}, ${this.#policy.failures <= 1 ? lockedUntil : null})
      ON CONFLICT (name_hash) DO UPDATE SET
        failures = CASE WHEN f.counted_since < ${forgotten} OR f.locked_until <= ${now} THEN 1 ELSE f.failures + 1 END,
        counted_since = CASE WHEN f.counted_since < ${forgotten} OR f.locked_until <= ${now} THEN ${now} ELSE f.counted_since END,
        locked_until = CASE
          WHEN f.locked_until > ${now} THEN f.locked_until
          WHEN f.counted_since >= ${forgotten} AND f.locked_until IS NULL AND f.failures + 1 >= ${this.#policy.failures}
          THEN ${lockedUntil}::timestamptz
        END
    `.execute(this.#db);
  }

  /** A success forgets the failures; not a lock that guesses at the same time have brought about. */
  async succeeded(userName: string, origin: string): Promise<void> {
    await this.refuseLocked(userName, origin);
    await this.#db
      .deleteFrom('login_failures')
      .where('name_hash', '=', nameHash(userName, origin))
      .where((eb) => eb.or([eb('locked_until', 'is', null), eb('locked_until', '<=', this.#clock())]))
      .execute();
  }

  /** Drops what no longer counts. */
  async prune(): Promise<void> {
    const seconds = this.#policy.withinSeconds + this.#policy.lockSeconds;
    const forgotten = new Date(this.#clock().getTime() - seconds * 1000);
    await this.#db.deleteFrom('login_failures').where('counted_since', '<', forgotten).execute();
  }
}

function nameHash(userName: string, origin: string): Buffer {
  return createHash('sha256')
    .update(JSON.stringify([origin, userName.toLowerCase()]))
    .digest();
}
