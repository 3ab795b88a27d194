import { type Kysely, sql } from 'kysely';
import { MAX_ACCESS_TOKEN_SECONDS } from '../../contracts/token-lifetime.ts';
import { SharedAnswers } from '../../kit/shared-answers.ts';
import type { UaaSchema } from '../schema.ts';
import type { Clock } from '../settings.ts';

/** What was revoked: one token, or the tokens of a user or client below a generation. */
export interface Revoked {
  kind: 'TOKEN' | 'USER' | 'CLIENT';
  subject: string;
  leastGeneration: number;
}

/** Verifiers need an entry for as long as an access token may live; the rest is for clocks that were set. */
const TOLD_SECONDS = MAX_ACCESS_TOKEN_SECONDS + 3_600;
const KEPT_SECONDS = 7 * 86_400;

/** Tokens that were revoked before they expired. Those of users and clients are entered by the database's triggers. */
export class Revocations {
  readonly #db: Kysely<UaaSchema>;
  readonly #clock: Clock;
  /** Verifiers that stand at the same place share the answer, and date it by when they asked. */
  readonly #answers = new SharedAnswers((position: bigint) => this.#read(position));

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

  /**
   * What was revoked since a position, 0 for everything that still matters to a verifier of access tokens. A position is the oldest
   * transaction that was under way: what had not been committed then has that number or a higher one. A position
   * from the future is one of another database, before it was restored.
   */
  since(position: bigint): Promise<{ position: bigint; revoked: Revoked[] }> {
    return this.#answers.of(position);
  }

  async #read(position: bigint): Promise<{ position: bigint; revoked: Revoked[] }> {
    const { rows } = await sql<{ next: string; kind: Revoked['kind'] | null; subject: string; least: number }>`
      WITH place AS MATERIALIZED (
        SELECT pg_snapshot_xmin(pg_current_snapshot()) AS next,
          CASE WHEN ${position.toString()}::text::xid8 > pg_snapshot_xmin(pg_current_snapshot()) THEN '0'::xid8
            ELSE ${position.toString()}::text::xid8 END AS after
      ), revoked (kind, subject, least) AS (
        SELECT 'TOKEN', jti, 0::bigint FROM revoked_tokens
        WHERE changed_in >= (SELECT after FROM place) AND expires_at > ${this.#clock()} AND jti NOT LIKE '%-r'
        UNION ALL
        SELECT kind, subject, least_generation FROM token_revocations
        WHERE changed_in >= (SELECT after FROM place) AND revoked_at > now() - make_interval(secs => ${TOLD_SECONDS})
      )
      SELECT place.next::text AS next, revoked.kind, revoked.subject, revoked.least
      FROM place LEFT JOIN revoked ON true
    `.execute(this.#db);
    const next = BigInt(rows[0]?.next ?? 0);
    const revoked = rows.flatMap(({ kind, subject, least }) =>
      kind === null ? [] : [{ kind, subject, leastGeneration: least }],
    );
    return { position: next, revoked };
  }

  async prune(): Promise<void> {
    await this.#db.deleteFrom('revoked_tokens').where('expires_at', '<', this.#clock()).execute();
    await this.#db
      .deleteFrom('token_revocations')
      .where('revoked_at', '<', sql<Date>`now() - make_interval(secs => ${KEPT_SECONDS})`)
      .execute();
  }
}
