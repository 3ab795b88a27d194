import { create, type JsonValue } from '@bufbuild/protobuf';
import { sql } from 'kysely';
import { type CompleteTaskRequest, OwnerSchema, type Task, TaskSchema } from '../../contracts/gen/diego_pb.js';
import { ownerJson } from '../desired-lrps/store.ts';
import { type BbsDatabase, retryConflicts, stored, type TaskState } from '../schema.ts';
import type { Definitions, SealedColumns } from '../sealing.ts';

interface TaskRow {
  task_guid: string;
  domain: string;
  state: TaskState;
  cell_id: string;
  stack: string;
  memory_mb: number;
  disk_mb: number;
  owner: JsonValue;
  failed: boolean;
  failure_reason: string;
  result: string;
  created_ms: number;
  timeout_seconds: number;
}

/** A completed task that is to be told to the Cloud Controller. */
export interface Completion {
  taskGuid: string;
  domain: string;
  failed: boolean;
  failureReason: string;
  result: string;
  attempts: number;
}

/** The domain whose tasks are stagings; their failures carry the v3 API's code. */
export const STAGING_DOMAIN = 'cf-app-staging';

const COLUMNS = sql.raw(`task_guid, domain, state, cell_id, stack, memory_mb, disk_mb, owner, failed, failure_reason,
  result, created_ms, timeout_seconds`);

/** One-off work: PENDING, RUNNING on a cell, COMPLETED until the Cloud Controller knows. */
export class TaskStore {
  readonly #db: BbsDatabase;
  readonly #definitions: Definitions;

  constructor(db: BbsDatabase, definitions: Definitions) {
    this.#db = db;
    this.#definitions = definitions;
  }

  /** The same guid a second time changes nothing. */
  async desire(task: Task, nowMs: number): Promise<void> {
    const sealed = this.#definitions.sealTask(task);
    await sql`
      INSERT INTO tasks (task_guid, domain, state, stack, placement_tags, memory_mb, disk_mb, owner, created_ms,
                         timeout_seconds, definition, key_label)
      VALUES (${task.taskGuid}, ${task.domain}, 'PENDING', ${task.stack}, ${task.placementTags}, ${task.memoryMb}, ${task.diskMb},
              ${ownerJson(task.owner)}::jsonb, ${nowMs}, ${task.timeoutSeconds}, ${sealed.data}, ${sealed.keyLabel})
      ON CONFLICT DO NOTHING`.execute(this.#db);
  }

  /** Without definitions; all domains where none is named. */
  async list(domain: string): Promise<Task[]> {
    const { rows } = await sql<TaskRow>`
      SELECT ${COLUMNS} FROM tasks WHERE ${domain === ''} OR domain = ${domain}
      ORDER BY created_ms, task_guid`.execute(this.#db);
    return rows.map((row) => withState(create(TaskSchema), row));
  }

  /** Whole, opened: what the cell was given to run, so that it can take up what it finds running. */
  async ofCell(cellId: string): Promise<Task[]> {
    const { rows } = await sql<TaskRow & SealedColumns>`
      SELECT ${COLUMNS}, definition, key_label FROM tasks
      WHERE cell_id = ${cellId} AND state = 'RUNNING'`.execute(this.#db);
    return rows.map((row) => withState(this.#definitions.openTask(row.task_guid, row), row));
  }

  /** The whole tasks, opened, for the cells they were placed on. */
  async open(taskGuids: readonly string[]): Promise<Map<string, Task>> {
    const { rows } = await sql<TaskRow & SealedColumns>`
      SELECT ${COLUMNS}, definition, key_label FROM tasks
      WHERE task_guid = ANY(${taskGuids}::text[])`.execute(this.#db);
    return new Map(rows.map((row) => [row.task_guid, withState(this.#definitions.openTask(row.task_guid, row), row)]));
  }

  async find(taskGuid: string): Promise<Task | null> {
    const { rows } = await sql<TaskRow>`SELECT ${COLUMNS} FROM tasks WHERE task_guid = ${taskGuid}`.execute(this.#db);
    return rows[0] ? withState(create(TaskSchema), rows[0]) : null;
  }

  /** False where the task was given to another cell or is over: a cell reads no task that was not meant for it. */
  async start(taskGuid: string, cellId: string): Promise<boolean> {
    return this.#changed(sql`
      UPDATE tasks SET state = 'RUNNING', cell_id = ${cellId}, placement_error = '', placed_cell = '',
        placed_until_ms = 0
      WHERE task_guid = ${taskGuid} AND ((state = 'PENDING' AND placed_cell = ${cellId}) OR (state = 'RUNNING' AND cell_id = ${cellId}))`);
  }

  /** False where the task is not this cell's. A second report of the same completion is true and changes nothing. */
  async complete(report: CompleteTaskRequest): Promise<boolean> {
    return this.#changed(sql`
      UPDATE tasks SET
        failed = CASE WHEN state = 'COMPLETED' THEN failed ELSE ${report.failed} END,
        failure_reason = CASE WHEN state = 'COMPLETED' THEN failure_reason ELSE ${report.failureReason} END,
        result = CASE WHEN state = 'COMPLETED' THEN result ELSE ${report.result} END,
        state = 'COMPLETED', cell_id = ${report.cellId}
      WHERE task_guid = ${report.taskGuid}
        AND (cell_id = ${report.cellId} OR (state = 'PENDING' AND placed_cell = ${report.cellId}))`);
  }

  /** Gives the task as it was: null where there was nothing to cancel. */
  async cancel(taskGuid: string): Promise<{ cellId: string } | null> {
    const { rows } = await retryConflicts(() =>
      sql<{ cell_id: string; placed_cell: string }>`
        UPDATE tasks SET state = 'COMPLETED', failed = true, failure_reason = 'task was cancelled'
        WHERE task_guid = ${taskGuid} AND state <> 'COMPLETED' RETURNING cell_id, placed_cell`.execute(this.#db),
    );
    return rows[0] ? { cellId: rows[0].cell_id || rows[0].placed_cell } : null;
  }

  /** False where the task still goes on. A task that is not there is deleted. */
  async delete(taskGuid: string): Promise<boolean> {
    await sql`DELETE FROM tasks WHERE task_guid = ${taskGuid} AND state = 'COMPLETED'`.execute(this.#db);
    return (await this.find(taskGuid)) === null;
  }

  /** Takes completions to deliver; nobody else is given them before `untilMs`. */
  async takeCompletions(nowMs: number, untilMs: number, limit: number): Promise<Completion[]> {
    const { rows } = await sql<Completion>`
      UPDATE tasks SET completion_due_ms = ${untilMs}, completion_attempts = completion_attempts + 1
      WHERE task_guid IN (
        SELECT task_guid FROM tasks WHERE state = 'COMPLETED' AND completion_due_ms <= ${nowMs}
        ORDER BY completion_due_ms LIMIT ${limit} FOR UPDATE SKIP LOCKED)
      RETURNING task_guid AS "taskGuid", domain, failed, failure_reason AS "failureReason", result,
        completion_attempts AS attempts`.execute(this.#db);
    return rows;
  }

  async delayCompletion(taskGuid: string, dueMs: number): Promise<void> {
    await sql`UPDATE tasks SET completion_due_ms = ${dueMs} WHERE task_guid = ${taskGuid}`.execute(this.#db);
  }

  async #changed(statement: ReturnType<typeof sql>): Promise<boolean> {
    const { numAffectedRows } = await retryConflicts(() => statement.execute(this.#db));
    return (numAffectedRows ?? 0n) > 0n;
  }
}

function withState(task: Task, row: TaskRow): Task {
  return Object.assign(task, {
    taskGuid: row.task_guid,
    domain: row.domain,
    state: row.state,
    cellId: row.cell_id,
    stack: row.stack,
    memoryMb: row.memory_mb,
    diskMb: row.disk_mb,
    owner: stored(OwnerSchema, row.owner),
    failed: row.failed,
    failureReason: row.failure_reason,
    result: row.result,
    createdNs: BigInt(row.created_ms) * 1_000_000n,
    timeoutSeconds: row.timeout_seconds,
  });
}
