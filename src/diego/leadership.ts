import { type Kysely, sql } from 'kysely';
import { messageOf } from '../kit/errors.ts';
import type { Logger } from '../kit/log.ts';
import type { BbsDatabase, BbsSchema } from './schema.ts';

/**
 * Who runs auctions and convergence: the holder of one advisory lock of a database session (DGO-01).
 *
 * A session lock and not a transaction's: an auction waits for cells, and a transaction that stays open meanwhile
 * would hold back vacuum and run into the idle limit. The lock goes the moment the process or its connection dies.
 * It spares work and is no fence: whoever acts in the belief to lead still changes rows by their expected state only
 * (reservation, cell, instance), so two leaders for a moment place nothing twice.
 */
export class Leadership {
  readonly #db: BbsDatabase;
  readonly #name: string;
  readonly #log: Logger;
  #session: { connection: Kysely<BbsSchema>; release: () => void; released: Promise<void> } | null = null;

  constructor(db: BbsDatabase, name: string, log: Logger) {
    this.#db = db;
    this.#name = name;
    this.#log = log;
  }

  /** True while the lock is ours; tries to take it where it is free. */
  async held(): Promise<boolean> {
    if (this.#session) {
      try {
        await sql`SELECT 1`.execute(this.#session.connection);
        return true;
      } catch (error) {
        this.#log.warn('the leader lost its database session', { error: messageOf(error) });
        await this.#drop();
      }
    }
    return this.#take();
  }

  /** Gives the lock back. */
  async close(): Promise<void> {
    if (!this.#session) return;
    try {
      await sql`SELECT pg_advisory_unlock(hashtext(${this.#name}))`.execute(this.#session.connection);
    } catch {
      // The session is gone, and the lock with it.
    }
    await this.#drop();
  }

  async #take(): Promise<boolean> {
    const answer = Promise.withResolvers<boolean>();
    const release = Promise.withResolvers<void>();
    const released = this.#db
      .connection()
      .execute(async (connection) => {
        const lock = await sql<{ held: boolean }>`
          SELECT pg_try_advisory_lock(hashtext(${this.#name})) AS held`.execute(connection);
        if (!lock.rows[0]?.held) {
          answer.resolve(false);
          return;
        }
        this.#session = { connection, release: release.resolve, released };
        answer.resolve(true);
        await release.promise;
      })
      .catch((error: unknown) => answer.reject(error));
    return answer.promise;
  }

  async #drop(): Promise<void> {
    const session = this.#session;
    this.#session = null;
    session?.release();
    await session?.released;
  }
}
