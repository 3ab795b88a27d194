import { createHash } from 'node:crypto';
import { type Kysely, sql } from 'kysely';
import { ACCOUNT_LOCKED, UaaError } from '../errors.ts';
import type { UaaSchema } from '../schema.ts';
import type { Clock, LockoutPolicy } from '../settings.ts';

/** Whose password is tried, and from where: an address as `clientAddress` gives it. */
export interface Login {
  userName: string;
  origin: string;
  address: string;
}

/** What must be called once it is known how a try ended. */
export interface Attempt {
  /** Counts it. Throws `unauthorized` where the name has been locked meanwhile: a late wrong guess reads like a late right one. */
  failed(): Promise<void>;
  /** Throws `unauthorized` where guesses at the same time have locked the name; forgets the failures otherwise. */
  succeeded(): Promise<void>;
}

/** An address is known for so long after a password was shown from it, and of one name so many at most. */
const KNOWN_DAYS = 30;
const MOST_KNOWN = 10;
/** How exact the time of the last login is kept. */
const KNOWN_SINCE_MS = 3_600_000;

/**
 * Counts failed logins by name, in the database: a restart or another process forgets nothing. Names that nobody has
 * are counted and locked like the others, so a lockout does not tell who exists.
 *
 * From an address from which somebody has shown the name's password before (at the login, or to change it), failures are counted by
 * name and address; all other addresses share the count of the name. Strangers thus lock a name for strangers, not for who comes from where they always come from.
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

  /** Before the password is looked at. Throws `unauthorized` while the name is locked for this address. */
  async begin(login: Login): Promise<Attempt> {
    const known = await this.#isKnown(login);
    const counter = known ? placeHash(login) : nameHash(login);
    await this.#refuseLocked(counter);
    return {
      failed: () => this.#failed(counter),
      succeeded: async () => {
        await this.#refuseLocked(counter);
        await this.#db
          .deleteFrom('login_failures')
          .where('name_hash', '=', counter)
          .where((eb) => eb.or([eb('locked_until', 'is', null), eb('locked_until', '<=', this.#clock())]))
          .execute();
        await this.#remember(login);
      },
    };
  }

  /** Ends every lock of a name, and forgets its failures. */
  async unlock({ userName, origin }: Omit<Login, 'address'>): Promise<void> {
    const name = nameHash({ userName, origin });
    const places = this.#db.selectFrom('login_places').select('place_hash').where('name_hash', '=', name);
    await this.#db
      .deleteFrom('login_failures')
      .where((eb) => eb.or([eb('name_hash', '=', name), eb('name_hash', 'in', places)]))
      .execute();
  }

  /** Drops what no longer counts. */
  async prune(): Promise<void> {
    const seconds = this.#policy.withinSeconds + this.#policy.lockSeconds;
    await this.#db.deleteFrom('login_failures').where('counted_since', '<', this.#ago(seconds)).execute();
    await this.#db
      .deleteFrom('login_places')
      .where('last_login_at', '<', this.#ago(KNOWN_DAYS * 86_400))
      .execute();
  }

  async #refuseLocked(counter: Buffer): Promise<void> {
    const row = await this.#db
      .selectFrom('login_failures')
      .select('name_hash')
      .where('name_hash', '=', counter)
      .where('locked_until', '>', this.#clock())
      .executeTakeFirst();
    if (row) locked();
  }

  /** The count goes on after a lock: within the hour each further failure locks again. A locked name is not counted. */
  async #failed(counter: Buffer): Promise<void> {
    const now = this.#clock();
    const forgotten = this.#ago(this.#policy.withinSeconds);
    const lockedUntil = new Date(now.getTime() + this.#policy.lockSeconds * 1000);
    const most = this.#policy.failures;
    const { rows } = await sql`
      INSERT INTO login_failures AS f (name_hash, failures, counted_since, locked_until)
      VALUES (${counter}, 1, ${now}, ${most <= 1 ? lockedUntil : null})
      ON CONFLICT (name_hash) DO UPDATE SET
        failures = CASE WHEN f.counted_since < ${forgotten} THEN 1 ELSE f.failures + 1 END,
        counted_since = CASE WHEN f.counted_since < ${forgotten} THEN ${now} ELSE f.counted_since END,
        locked_until = CASE
          WHEN CASE WHEN f.counted_since < ${forgotten} THEN 1 ELSE f.failures + 1 END >= ${most}
          THEN ${lockedUntil}::timestamptz
        END
      WHERE f.locked_until IS NULL OR f.locked_until <= ${now}
      RETURNING failures
    `.execute(this.#db);
    if (rows.length === 0) locked();
  }

  async #isKnown(login: Login): Promise<boolean> {
    const row = await this.#db
      .selectFrom('login_places')
      .select('place_hash')
      .where('place_hash', '=', placeHash(login))
      .where('last_login_at', '>', this.#ago(KNOWN_DAYS * 86_400))
      .executeTakeFirst();
    return row !== undefined;
  }

  async #remember(login: Login): Promise<void> {
    const now = this.#clock();
    const name = nameHash(login);
    await this.#db
      .insertInto('login_places')
      .values({ place_hash: placeHash(login), name_hash: name, last_login_at: now })
      .onConflict((conflict) =>
        conflict
          .column('place_hash')
          .doUpdateSet({ last_login_at: now })
          .where('login_places.last_login_at', '<', new Date(now.getTime() - KNOWN_SINCE_MS)),
      )
      .execute();
    const kept = this.#db
      .selectFrom('login_places')
      .select('place_hash')
      .where('name_hash', '=', name)
      .orderBy('last_login_at', 'desc')
      .limit(MOST_KNOWN);
    await this.#db
      .deleteFrom('login_places')
      .where('name_hash', '=', name)
      .where('place_hash', 'not in', kept)
      .execute();
  }

  #ago(seconds: number): Date {
    return new Date(this.#clock().getTime() - seconds * 1000);
  }
}

function locked(): never {
  throw new UaaError('unauthorized', ACCOUNT_LOCKED, { reason: 'the name is locked' });
}

function nameHash({ userName, origin }: Omit<Login, 'address'>): Buffer {
  return hashOf([origin, userName.toLowerCase()]);
}

function placeHash({ userName, origin, address }: Login): Buffer {
  return hashOf([origin, userName.toLowerCase(), address]);
}

function hashOf(parts: readonly string[]): Buffer {
  return createHash('sha256').update(JSON.stringify(parts)).digest();
}
