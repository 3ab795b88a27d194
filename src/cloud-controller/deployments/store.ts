import type { InsertObject, Selectable, UpdateObject } from 'kysely';
import { type Database, type Db, now, type ResourceColumns, type Trx, type WithDefault } from '../database.ts';
import type { Guid } from '../guid.ts';
import { type StatusReason, type StatusValue, type Strategy, statusValue } from './state.ts';

declare module '../database.ts' {
  interface Database {
    deployments: DeploymentTable;
  }
}

export interface DeploymentTable extends ResourceColumns {
  app_guid: Guid<'app'>;
  strategy: Strategy;
  status_value: StatusValue;
  status_reason: StatusReason;
  max_in_flight: number;
  droplet_guid: Guid<'droplet'> | null;
  previous_droplet_guid: Guid<'droplet'> | null;
  old_process_guid: string;
  new_process_guid: string;
  original_instances: number;
  /** What the deployment brings; null leaves it as it was. */
  web_instances: WithDefault<number | null>;
  memory_mb: WithDefault<number | null>;
  disk_mb: WithDefault<number | null>;
  log_rate_limit: WithDefault<number | null>;
  /** Percentages of instances after which a canary pauses; null: after the first instance. */
  canary_steps: WithDefault<number[] | null>;
  /** Of those, counted from 1; null where it is no canary. */
  canary_step: WithDefault<number | null>;
  /** A canary whose last step was continued: the rest follows. */
  promoted: WithDefault<boolean>;
  last_healthy_at: WithDefault<Date | null>;
  /** The most that both its processes come to, cancelled or not: counted against quotas while it is under way. */
  reserved_instances: WithDefault<number>;
  reserved_memory_mb: WithDefault<number>;
  reserved_log_rate: WithDefault<number>;
  /** Why it does not go on; null while it does. */
  error: WithDefault<string | null>;
  /** Of a cancelled deployment: the LRP whose instances are to be gone before it is over. */
  leaving_lrp_guid: WithDefault<string | null>;
  status_updated_at: WithDefault<Date>;
}

export type Deployment = Selectable<DeploymentTable>;
/** All but its status, which a reason alone decides. */
type New = Omit<InsertObject<Database, 'deployments'>, 'status_value' | 'status_reason' | 'status_updated_at'>;
type Changes = Omit<UpdateObject<Database, 'deployments'>, 'status_value' | 'status_reason' | 'status_updated_at'>;

export async function findDeployment(db: Db, guid: string): Promise<Deployment | null> {
  return (await db.selectFrom('deployments').selectAll().where('guid', '=', guid).executeTakeFirst()) ?? null;
}

export function selectDeployments(db: Db) {
  return db.selectFrom('deployments').innerJoin('apps', 'apps.guid', 'deployments.app_guid').selectAll('deployments');
}

/** What a revision of an app runs; null where the app has no such revision. */
export async function dropletOfRevision(db: Db, appGuid: Guid<'app'>, guid: string): Promise<Guid<'droplet'> | null> {
  const row = await db
    .selectFrom('revisions')
    .select('droplet_guid')
    .where('guid', '=', guid)
    .where('app_guid', '=', appGuid)
    .executeTakeFirst();
  return row?.droplet_guid ?? null;
}

/** Those that steps are taken for. */
export async function movingDeployments(db: Db): Promise<Deployment[]> {
  return db
    .selectFrom('deployments')
    .selectAll()
    .where('status_value', '=', 'ACTIVE')
    .where('status_reason', '!=', 'PAUSED')
    .orderBy('id')
    .execute();
}

export async function insertDeployment(trx: Trx, reason: StatusReason, values: New): Promise<Deployment> {
  return trx
    .insertInto('deployments')
    .values({ ...values, status_value: statusValue(reason), status_reason: reason })
    .returningAll()
    .executeTakeFirstOrThrow();
}

export async function updateDeployment(trx: Trx, guid: string, changes: Changes): Promise<void> {
  await trx
    .updateTable('deployments')
    .set({ ...changes, updated_at: now })
    .where('guid', '=', guid)
    .execute();
}

/** Gives it another status. */
export async function become(trx: Trx, guid: string, reason: StatusReason): Promise<void> {
  await trx
    .updateTable('deployments')
    .set({ status_value: statusValue(reason), status_reason: reason, status_updated_at: now, updated_at: now })
    .where('guid', '=', guid)
    .execute();
}

/** Says what a deployment under way waits for; false where it says so already, or is over. */
export async function sayError(db: Db, guid: string, error: string): Promise<boolean> {
  const row = await db
    .updateTable('deployments')
    .set({ error })
    .where('guid', '=', guid)
    .where('status_value', '=', 'ACTIVE')
    .where('error', 'is distinct from', error)
    .returning('guid')
    .executeTakeFirst();
  return row !== undefined;
}
