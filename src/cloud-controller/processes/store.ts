import type { ColumnType } from 'kysely';
import { type Insertable, type Selectable, sql, type UpdateObject } from 'kysely';
import type { ResourceColumns, WithDefault } from '../database.ts';
import { type Database, type Db, now, type Trx } from '../database.ts';
import { notFound } from '../errors.ts';
import type { Guid } from '../guid.ts';
import type { Counted } from '../quotas/within.ts';

declare module '../database.ts' {
  interface Database {
    processes: ProcessTable;
  }
}

/** How an instance proves that it is well; null leaves it to the platform. */
export interface HealthCheckColumns {
  health_check_type: string;
  health_check_endpoint: string | null;
  health_check_timeout: number | null;
  health_check_invocation_timeout: number | null;
  health_check_interval: number | null;
  readiness_type: string;
  readiness_endpoint: string | null;
  readiness_invocation_timeout: number | null;
  readiness_interval: number | null;
}

type Optional<T> = { [Key in keyof T]: null extends T[Key] ? ColumnType<T[Key], T[Key] | undefined, T[Key]> : T[Key] };

export interface ProcessTable extends ResourceColumns, Optional<Omit<HealthCheckColumns, 'readiness_type'>> {
  app_guid: Guid<'app'>;
  type: string;
  readiness_type: WithDefault<string>;
  /** What the user set; null: what the droplet says. */
  command: WithDefault<string | null>;
  instances: number;
  memory_mb: number;
  disk_mb: number;
  /** Bytes a second; -1: none. */
  log_rate_limit: number;
  state: 'STOPPED' | 'STARTED';
  /** Changes when running instances are to be replaced; part of the LRP's guid. */
  version: string;
  /** What instances of this version run with, where the process was resized since and they were kept; else null. */
  version_memory_mb: WithDefault<number | null>;
  version_log_rate_limit: WithDefault<number | null>;
  /** The droplet it runs: fixed when it is started, so that a newer one does not slip in with a moved instance. */
  droplet_guid: WithDefault<Guid<'droplet'> | null>;
  revision_guid: WithDefault<string | null>;
}

export type Process = Selectable<ProcessTable>;

export async function findProcess(db: Db, guid: string): Promise<Process | null> {
  return (await db.selectFrom('processes').selectAll().where('guid', '=', guid).executeTakeFirst()) ?? null;
}

/** The process of that type; while a deployment runs there are two, and the newer is meant. */
export async function findProcessOfType(db: Db, appGuid: Guid<'app'>, type: string): Promise<Process | null> {
  const select = db
    .selectFrom('processes')
    .selectAll()
    .where('app_guid', '=', appGuid)
    .where('type', '=', type)
    .orderBy('id', 'desc')
    .limit(1);
  return (await select.executeTakeFirst()) ?? null;
}

export async function processesOfApp(db: Db, appGuid: Guid<'app'>): Promise<Process[]> {
  return db.selectFrom('processes').selectAll().where('app_guid', '=', appGuid).orderBy('id').execute();
}

/** What a process starts with: its own command, else what its droplet says; null where nothing is staged. */
export async function commandOf(
  db: Db,
  process: Pick<Process, 'command' | 'type' | 'droplet_guid'>,
  currentDroplet: Guid<'droplet'> | null,
): Promise<string | null> {
  if (process.command !== null) return process.command;
  const dropletGuid = process.droplet_guid ?? currentDroplet;
  if (dropletGuid === null) return null;
  const droplet = await db
    .selectFrom('droplets')
    .select('process_types')
    .where('guid', '=', dropletGuid)
    .executeTakeFirst();
  return droplet ? (droplet.process_types[process.type] ?? '') : null;
}

/** Whether a newer version takes the place of the app's web process now. */
export async function isDeploying(db: Db, appGuid: Guid<'app'>): Promise<boolean> {
  const active = await db
    .selectFrom('deployments')
    .select('guid')
    .where('app_guid', '=', appGuid)
    .where('status_value', '=', 'ACTIVE')
    .executeTakeFirst();
  return active !== undefined;
}

/** What counts against a quota. */
type CountedColumn = 'instances' | 'memory_mb' | 'log_rate_limit' | 'state';
export type ProcessChanges = Partial<
  Omit<Process, 'id' | 'guid' | 'created_at' | 'updated_at' | 'labels' | 'annotations'>
>;

/** Writes a process that was checked against its quotas, and gives it; its guid is another where the one given is taken. */
export async function insertProcess(trx: Counted, values: Insertable<ProcessTable>): Promise<Process> {
  return insert(trx, values);
}

/** One that uses nothing yet. */
export async function insertIdleProcess(
  trx: Trx,
  values: Insertable<ProcessTable> & ({ state: 'STOPPED' } | { instances: 0 }),
): Promise<Process> {
  return insert(trx, values);
}

async function insert(trx: Trx, values: Insertable<ProcessTable>): Promise<Process> {
  // A web process whose guid is taken (its app went through a deployment) gets another.
  const taken = await trx.selectFrom('processes').select('guid').where('guid', '=', values.guid).executeTakeFirst();
  const guid = taken ? crypto.randomUUID() : values.guid;
  return trx
    .insertInto('processes')
    .values({ ...values, guid })
    .returningAll()
    .executeTakeFirstOrThrow();
}

/** Changes what no quota counts. */
export async function updateProcess(
  trx: Trx,
  guid: string,
  changes: Omit<ProcessChanges, CountedColumn> & { [Name in CountedColumn]?: never },
): Promise<Process> {
  return update(trx, guid, changes);
}

/**
 * Changes anything, what quotas count too. What a started process had counts on beside its new size until there is a new
 * version of it: its instances run with it.
 */
export async function resizeProcess(trx: Counted, guid: string, changes: ProcessChanges): Promise<Process> {
  const isAnew = changes.version !== undefined || changes.state === 'STOPPED';
  const kept = (column: 'memory_mb' | 'log_rate_limit') =>
    sql<
      number | null
    >`CASE WHEN state = 'STARTED' THEN coalesce(${sql.ref(`version_${column}`)}, ${sql.ref(column)}) END`;
  const version = isAnew
    ? { version_memory_mb: null, version_log_rate_limit: null }
    : { version_memory_mb: kept('memory_mb'), version_log_rate_limit: kept('log_rate_limit') };
  return update(trx, guid, { ...changes, ...version });
}

/** Fine where it is gone already. */
export async function deleteProcess(trx: Trx, guid: string): Promise<void> {
  await trx.deleteFrom('processes').where('guid', '=', guid).execute();
}

/** What one instance counts for, before and after it is made anew. -1 stands for no limit. */
export function sizeCounted(process: Process): { memoryMb: number; logRate: number } {
  const {
    memory_mb: memory,
    log_rate_limit: rate,
    version_memory_mb: ranMemory,
    version_log_rate_limit: ranRate,
  } = process;
  const isUnlimited = rate === -1 || ranRate === -1;
  return { memoryMb: Math.max(memory, ranMemory ?? 0), logRate: isUnlimited ? -1 : Math.max(rate, ranRate ?? 0) };
}

async function update(trx: Trx, guid: string, changes: UpdateObject<Database, 'processes'>): Promise<Process> {
  return trx
    .updateTable('processes')
    .set({ ...changes, updated_at: now })
    .where('guid', '=', guid)
    .returningAll()
    .executeTakeFirstOrThrow(() => notFound('Process'));
}
