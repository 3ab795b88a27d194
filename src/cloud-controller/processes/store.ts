import type { Insertable, Selectable } from 'kysely';
import { narrowByApp, type OfApps } from '../apps/belongings.ts';
import type { ProcessTable } from '../apps/tables.ts';
import type { Settings } from '../context.ts';
import { type Db, now } from '../database.ts';
import { type Page, page } from '../list.ts';
import type { Query, QueryRules } from '../query.ts';

export type Process = Selectable<ProcessTable>;

export const processQuery = {
  list: true,
  labels: true,
  filters: ['types', 'app_guids', 'space_guids', 'organization_guids'],
  values: ['embed'],
} as const satisfies QueryRules;

export async function findProcess(db: Db, guid: string): Promise<Process | null> {
  return (await db.selectFrom('processes').selectAll().where('guid', '=', guid).executeTakeFirst()) ?? null;
}

/** The process of that type; while a deployment runs there are two, and the newer is meant. */
export async function findProcessOfType(db: Db, appGuid: string, type: string): Promise<Process | null> {
  const select = db
    .selectFrom('processes')
    .selectAll()
    .where('app_guid', '=', appGuid)
    .where('type', '=', type)
    .orderBy('id', 'desc')
    .limit(1);
  return (await select.executeTakeFirst()) ?? null;
}

export async function processesOfApp(db: Db, appGuid: string): Promise<Process[]> {
  return db.selectFrom('processes').selectAll().where('app_guid', '=', appGuid).orderBy('id').execute();
}

export async function listProcesses(db: Db, query: Query, only: OfApps): Promise<Page<Process>> {
  const joined = db
    .selectFrom('processes')
    .innerJoin('apps', 'apps.guid', 'processes.app_guid')
    .innerJoin('spaces', 'spaces.guid', 'apps.space_guid')
    .selectAll('processes');
  let select = narrowByApp(joined, 'processes', query, only);
  const types = query.filters.get('types');
  if (types) select = select.where('processes.type', 'in', types);
  return page(db, select, 'processes', query);
}

/** A process as it begins: the web one runs once and is watched at its port, others wait to be scaled. */
export function newProcess(
  app: { guid: string; state: 'STOPPED' | 'STARTED' },
  type: string,
  defaults: Settings['defaults'],
): Insertable<ProcessTable> & { guid: string } {
  return {
    // Clients and the field expect the web process to carry its app's guid.
    guid: type === 'web' ? app.guid : crypto.randomUUID(),
    app_guid: app.guid,
    type,
    instances: type === 'web' ? 1 : 0,
    memory_mb: defaults.memoryMb,
    disk_mb: defaults.diskMb,
    log_rate_limit: -1,
    health_check_type: type === 'web' ? 'port' : 'process',
    state: app.state,
    version: crypto.randomUUID(),
  };
}

export async function insertProcess(trx: Db, values: Insertable<ProcessTable>): Promise<Process> {
  // A web process whose guid is taken (its app went through a deployment) gets another.
  const taken = await trx.selectFrom('processes').select('guid').where('guid', '=', values.guid).executeTakeFirst();
  const guid = taken ? crypto.randomUUID() : values.guid;
  return trx
    .insertInto('processes')
    .values({ ...values, guid })
    .returningAll()
    .executeTakeFirstOrThrow();
}

export async function updateProcess(
  trx: Db,
  guid: string,
  changes: Partial<Omit<Process, 'id' | 'guid' | 'created_at' | 'updated_at' | 'labels' | 'annotations'>>,
): Promise<Process> {
  return trx
    .updateTable('processes')
    .set({ ...changes, updated_at: now })
    .where('guid', '=', guid)
    .returningAll()
    .executeTakeFirstOrThrow();
}
