import { type InsertObject, type Selectable, sql, type UpdateObject } from 'kysely';
import type { Sealer } from '../../kit/crypto.ts';
import { type Database, type Db, now, type ResourceColumns, type Trx, type WithDefault } from '../database.ts';
import type { Guid } from '../guid.ts';
import { readAll } from '../list.ts';
import type { Counted } from '../quotas/within.ts';
import { type TaskState, UNENDED } from './state.ts';

declare module '../database.ts' {
  interface Database {
    tasks: TaskTable;
  }
}

export interface TaskTable extends ResourceColumns {
  app_guid: Guid<'app'>;
  sequence_id: number;
  name: string;
  /** Sealed under the task's guid: commands carry secrets. */
  command_key_label: string;
  command_data: Buffer;
  state: TaskState;
  memory_mb: number;
  disk_mb: number;
  log_rate_limit: number;
  failure_reason: WithDefault<string | null>;
  droplet_guid: Guid<'droplet'>;
  desired_at: WithDefault<Date | null>;
}

/** What it runs is read where it is meant (`commandsOf`). */
export type Task = Omit<Selectable<TaskTable>, 'command_key_label' | 'command_data'>;
type SealedCommand = Pick<Selectable<TaskTable>, 'guid' | 'command_key_label' | 'command_data'>;

const COLUMNS = [
  'tasks.id',
  'tasks.guid',
  'tasks.created_at',
  'tasks.updated_at',
  'tasks.labels',
  'tasks.annotations',
  'tasks.app_guid',
  'tasks.sequence_id',
  'tasks.name',
  'tasks.state',
  'tasks.memory_mb',
  'tasks.disk_mb',
  'tasks.log_rate_limit',
  'tasks.failure_reason',
  'tasks.droplet_guid',
  'tasks.desired_at',
] as const;

const contextOf = (guid: string): string => `tasks.command:${guid}`;

export function sealCommand(sealer: Sealer, guid: string, command: string) {
  const { keyLabel, data } = sealer.seal(command, contextOf(guid));
  return { command_key_label: keyLabel, command_data: data };
}

export function openCommand(sealer: Sealer, task: SealedCommand): string {
  return sealer.open({ keyLabel: task.command_key_label, data: task.command_data }, contextOf(task.guid));
}

/** What these tasks run, by guid. */
export async function commandsOf(
  db: Db,
  sealer: Sealer,
  guids: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const select = db
    .selectFrom('tasks')
    .select(['guid', 'command_key_label', 'command_data'])
    .where(sql<boolean>`guid = ANY(${guids})`);
  return new Map((await readAll(select)).map((row) => [row.guid, openCommand(sealer, row)]));
}

export async function findTask(db: Db, guid: string): Promise<Task | null> {
  return (await db.selectFrom('tasks').select(COLUMNS).where('guid', '=', guid).executeTakeFirst()) ?? null;
}

/** With what it runs, sealed. */
export async function findSealedTask(db: Db, guid: string): Promise<(Task & SealedCommand) | null> {
  return (await db.selectFrom('tasks').selectAll().where('guid', '=', guid).executeTakeFirst()) ?? null;
}

export function selectTasks(db: Db) {
  return db
    .selectFrom('tasks')
    .innerJoin('apps', 'apps.guid', 'tasks.app_guid')
    .innerJoin('spaces', 'spaces.guid', 'apps.space_guid')
    .select(COLUMNS);
}

/** The oldest first. */
export async function unendedTasks(db: Db): Promise<Task[]> {
  return db.selectFrom('tasks').select(COLUMNS).where('state', 'in', UNENDED).orderBy('id').execute();
}

/** The number of an app's next task; the app is locked. */
export async function nextSequenceId(trx: Trx, appGuid: Guid<'app'>): Promise<number> {
  const row = await trx
    .selectFrom('tasks')
    .select(sql<number | null>`max(sequence_id)`.as('last'))
    .where('app_guid', '=', appGuid)
    .executeTakeFirst();
  return (row?.last ?? 0) + 1;
}

/** Writes a task that was checked against its quotas, and gives it. Its command is sealed (`sealCommand`). */
export async function insertTask(trx: Counted, values: InsertObject<Database, 'tasks'>): Promise<Task> {
  return trx.insertInto('tasks').values(values).returning(COLUMNS).executeTakeFirstOrThrow();
}

/** Changes a task that is in one of these states; null where it is not, or is gone. */
export async function updateTask(
  db: Db,
  guid: string,
  states: readonly TaskState[],
  changes: Pick<UpdateObject<Database, 'tasks'>, 'state' | 'failure_reason'>,
): Promise<Task | null> {
  const row = await db
    .updateTable('tasks')
    .set({ ...changes, updated_at: now })
    .where('guid', '=', guid)
    .where('state', 'in', states)
    .returning(COLUMNS)
    .executeTakeFirst();
  return row ?? null;
}

/** Diego has it. */
export async function markDesired(db: Db, guid: string): Promise<void> {
  await db.updateTable('tasks').set({ desired_at: now }).where('guid', '=', guid).execute();
}
