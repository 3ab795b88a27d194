import { type RawBuilder, sql } from 'kysely';
import type { Logger } from '../../kit/log.ts';
import { attemptEach, Reconciler } from '../../kit/reconcile.ts';
import type { Context } from '../context.ts';
import type { Db } from '../database.ts';
import { RETENTION_RULES, type RetentionRule } from './rules.ts';

/** What comes in between two sweeps stays until the second: the rate limit of a caller bounds it. */
const EVERY_MS = 10 * 60_000;
/** Rows of one statement: no lock and no transaction is long. */
const BATCH = 5_000;
/** Actors, callers or apps that one statement looks at. */
const KEYS = 20;

/** Deletes rows that have had their time or are beyond the number that is kept; on any number of control processes. */
export class RetentionSweep {
  readonly #reconciler: Reconciler;

  constructor({ db, log }: Pick<Context, 'db' | 'log'>) {
    this.#reconciler = new Reconciler('retention-sweep', EVERY_MS, () => sweepRows(db, log), log);
  }

  start(): void {
    this.#reconciler.start();
  }

  async close(): Promise<void> {
    await this.#reconciler.stop();
  }
}

/** One sweep, by all rules: one that fails is tried again by the next sweep, and the others hold. */
export async function sweepRows(db: Db, log: Logger, rules: readonly RetentionRule[] = RETENTION_RULES): Promise<void> {
  const steps: Record<string, () => Promise<void>> = {};
  for (const [index, rule] of rules.entries()) {
    const { days, newest } = rule;
    const name = `${index + 1}: ${rule.table}`;
    if (days) steps[`${name} by age`] = () => deleteOld(db, rule, days);
    if (newest) steps[`${name} by number`] = () => deleteBeyond(db, rule, newest);
  }
  await attemptEach(steps, log);
}

function deleteOld(db: Db, rule: RetentionRule, { since, most }: NonNullable<RetentionRule['days']>): Promise<void> {
  return deleteRows(db, rule, sql`${sql.ref(since)} < now() - make_interval(days => ${most})`);
}

/**
 * Of each that has more than may stay, the oldest. It goes from one to the next by an index, so many at a time: of each it
 * reads what may stay and no more, and no statement lasts as long as a look at all of them.
 */
async function deleteBeyond(db: Db, rule: RetentionRule, { per, most }: NonNullable<RetentionRule['newest']>) {
  const table = sql.table(rule.table);
  const next = (after: RawBuilder<unknown>) =>
    sql`(SELECT ${per} FROM ${table} WHERE ${per} > ${after} ORDER BY ${per} LIMIT 1)`;
  for (let last = '', found = KEYS; found === KEYS; ) {
    const { rows } = await sql<{ key: string; beyond: number | null }>`
      WITH RECURSIVE keys (place, key) AS (
        SELECT 1, ${next(sql`${last}::text`)}
        UNION ALL
        SELECT place + 1, ${next(sql`keys.key`)} FROM keys WHERE key IS NOT NULL AND place < ${KEYS}::integer)
      SELECT key, (SELECT id FROM ${table} WHERE ${per} = key AND ${rule.of}
        ORDER BY id DESC OFFSET ${most} LIMIT 1) AS beyond
      FROM keys WHERE key IS NOT NULL ORDER BY place`.execute(db);
    for (const { key, beyond } of rows) {
      if (beyond !== null) await deleteRows(db, rule, sql`${per} = ${key} AND id <= ${beyond}`);
    }
    found = rows.length;
    last = rows.at(-1)?.key ?? '';
  }
}

/** In batches; a row that has become another meanwhile (an upload has begun) stays. */
async function deleteRows(db: Db, { table, of }: RetentionRule, which: RawBuilder<boolean>): Promise<void> {
  const name = sql.table(table);
  for (;;) {
    const { numAffectedRows } = await sql`
      DELETE FROM ${name} WHERE id IN (
        SELECT id FROM ${name} WHERE ${which} AND ${of} LIMIT ${BATCH} FOR UPDATE SKIP LOCKED)`.execute(db);
    if (Number(numAffectedRows ?? 0) < BATCH) return;
  }
}
