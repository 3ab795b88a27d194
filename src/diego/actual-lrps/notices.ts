import type { Client } from '@connectrpc/connect';
import { sql } from 'kysely';
import type { CloudControllerInternal } from '../../contracts/gen/cloud-controller_pb.js';
import type { ActualLrp } from '../../contracts/gen/diego_pb.js';
import { messageOf } from '../../kit/errors.ts';
import type { Logger } from '../../kit/log.ts';
import type { BbsDatabase } from '../schema.ts';

/** Characters kept of why an instance crashed. */
export const LONGEST_REASON = 1_000;
const AT_ONCE = 64;
const CALL_TIMEOUT_MS = 5_000;
/** Longer than a call may take, so that nobody else delivers what we are delivering. */
const TAKEN_FOR_MS = 30_000;
const RETRY_MS = 1_000;

interface Notice {
  id: number;
  kind: 'crash' | 'readiness';
  process_guid: string;
  index: number;
  instance_guid: string;
  cell_id: string;
  reason: string;
  crash_count: number;
  ready: boolean;
  created_ms: number;
}

/** One crash, as a statement that takes `FROM` the change it belongs to: the two are one. */
export function crashNotice(
  lrp: Pick<Notice, 'process_guid' | 'index' | 'instance_guid' | 'cell_id' | 'reason' | 'crash_count'>,
  nowMs: number,
) {
  return sql`
    INSERT INTO notices (kind, process_guid, index, instance_guid, cell_id, reason, crash_count, created_ms, due_ms)
    SELECT 'crash', ${lrp.process_guid}, ${lrp.index}::integer, ${lrp.instance_guid}, ${lrp.cell_id}, ${lrp.reason},
      ${lrp.crash_count}::integer, ${nowMs}::bigint, 0`;
}

/**
 * Tells the Cloud Controller what befell an instance, for its events: crashes, and whether it is ready. Kept in the
 * database, a crash together with the crash itself, so that the end of a process loses none. Each is tried again for a
 * bounded time: the event is for people to read, nothing depends on it.
 */
export class Notices {
  readonly #db: BbsDatabase;
  readonly #cloudController: Client<typeof CloudControllerInternal>;
  readonly #patienceMs: number;
  readonly #clock: () => number;
  readonly #log: Logger;

  constructor(options: {
    db: BbsDatabase;
    cloudController: Client<typeof CloudControllerInternal>;
    patienceMs: number;
    clock: () => number;
    log: Logger;
  }) {
    this.#db = options.db;
    this.#cloudController = options.cloudController;
    this.#patienceMs = options.patienceMs;
    this.#clock = options.clock;
    this.#log = options.log;
  }

  async readinessChanged(lrp: ActualLrp, ready: boolean): Promise<void> {
    await sql`
      INSERT INTO notices (kind, process_guid, index, instance_guid, cell_id, ready, created_ms, due_ms)
      VALUES ('readiness', ${lrp.processGuid}, ${lrp.index}, ${lrp.instanceGuid}, ${lrp.cellId}, ${ready},
              ${this.#clock()}, 0)`.execute(this.#db);
  }

  /** In the order they happened. Any Diego may deliver. */
  async deliver(): Promise<void> {
    for (let notices = await this.#take(); notices.length > 0; notices = await this.#take()) {
      for (const notice of notices) await this.#deliverOne(notice);
    }
  }

  async #take(): Promise<Notice[]> {
    const now = this.#clock();
    const { rows } = await sql<Notice>`
      UPDATE notices SET due_ms = ${now + TAKEN_FOR_MS}
      WHERE id IN (SELECT id FROM notices WHERE due_ms <= ${now} ORDER BY id LIMIT ${AT_ONCE} FOR UPDATE SKIP LOCKED)
      RETURNING id, kind, process_guid, index, instance_guid, cell_id, reason, crash_count, ready, created_ms`.execute(
      this.#db,
    );
    return rows.toSorted((a, b) => a.id - b.id);
  }

  async #deliverOne(notice: Notice): Promise<void> {
    const now = this.#clock();
    try {
      await this.#send(notice);
    } catch (error) {
      if (now - notice.created_ms < this.#patienceMs) {
        await sql`UPDATE notices SET due_ms = ${now + RETRY_MS} WHERE id = ${notice.id}`.execute(this.#db);
        return;
      }
      this.#log.warn('an event of an instance was not reported', {
        process: notice.process_guid,
        error: messageOf(error),
      });
    }
    await sql`DELETE FROM notices WHERE id = ${notice.id}`.execute(this.#db);
  }

  #send(notice: Notice): Promise<unknown> {
    const { reason, crash_count: crashCount, ready } = notice;
    const instance = {
      processGuid: notice.process_guid,
      index: notice.index,
      instanceGuid: notice.instance_guid,
      cellId: notice.cell_id,
    };
    const options = { timeoutMs: CALL_TIMEOUT_MS };
    return notice.kind === 'crash'
      ? this.#cloudController.lrpCrashed({ ...instance, reason, crashCount }, options)
      : this.#cloudController.lrpReadinessChanged({ ...instance, ready }, options);
  }
}
