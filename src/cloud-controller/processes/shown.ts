import { sql } from 'kysely';
import type { Db } from '../database.ts';
import { unprocessable } from '../errors.ts';
import { lrpGuid, versionOf } from './lrp-guid.ts';
import { findProcess, type Process } from './store.ts';

/**
 * Processes as clients see them. Where a restart failed, the version that serves on stands as a process of its own beside the
 * one that crashed, as the two do in a deployment. Its guid is its version; it can be looked at and not changed.
 */
export type ShownProcess = Shown<Process>;

/** In a list, where nobody sees what it runs. */
export type ListedProcess = Shown<ProcessInList>;

type ProcessInList = Omit<Process, 'command'>;

/** A process, and the version that serves in its place where the row is of one. */
export type Selected = ProcessInList & { lrp: string | null; row: OutgoingRow | null };

type Shown<Row> = Row & {
  /** The LRP that runs it. */
  lrp_guid: string;
  isOutgoing: boolean;
};

/** A process that is itself what runs, or is to. */
export function asShown<Row extends ProcessInList>(process: Row): Shown<Row> {
  return { ...process, lrp_guid: lrpGuid(process.guid, process.version), isOutgoing: false };
}

/** Throws UnprocessableEntity for a version that only serves until it is replaced. */
export function requireCurrent({ isOutgoing }: ShownProcess): void {
  if (isOutgoing) throw unprocessable('This process serves only until a newer version does, and cannot be changed.');
}

/** Nearly always a process's own guid; a version that serves in the place of one is looked for where there is none. */
export async function findShownProcess(db: Db, guid: string): Promise<ShownProcess | null> {
  const process = await findProcess(db, guid);
  if (process) return asShown(process);
  const version = (lrp: string) => sql<string>`right(${sql.ref(lrp)}, 36)`;
  const found = await selectShown(db)
    .select('processes.command')
    .where('processes.guid', '=', (eb) =>
      eb.selectFrom('outgoing_lrps').select('process_guid').where(version('lrp_guid'), '=', guid).limit(1),
    )
    .where(version('outgoing.lrp'), '=', guid)
    .executeTakeFirst();
  if (!found) return null;
  return shownOf(found);
}

/** A process as lists show it: not what it runs. */
const LISTED_COLUMNS = [
  'processes.id',
  'processes.guid',
  'processes.created_at',
  'processes.updated_at',
  'processes.labels',
  'processes.annotations',
  'processes.app_guid',
  'processes.type',
  'processes.instances',
  'processes.memory_mb',
  'processes.disk_mb',
  'processes.log_rate_limit',
  'processes.state',
  'processes.version',
  'processes.version_memory_mb',
  'processes.version_log_rate_limit',
  'processes.droplet_guid',
  'processes.revision_guid',
  'processes.health_check_type',
  'processes.health_check_endpoint',
  'processes.health_check_timeout',
  'processes.health_check_invocation_timeout',
  'processes.health_check_interval',
  'processes.readiness_type',
  'processes.readiness_endpoint',
  'processes.readiness_invocation_timeout',
  'processes.readiness_interval',
] as const;

/** Each process, and again for each version that serves in its place. */
export function selectShown(db: Db) {
  return db
    .selectFrom('processes')
    .innerJoin('apps', 'apps.guid', 'processes.app_guid')
    .innerJoin('spaces', 'spaces.guid', 'apps.space_guid')
    .innerJoinLateral(OUTGOING.as('outgoing'), (join) => join.onTrue())
    .select(LISTED_COLUMNS)
    .select(['outgoing.lrp', 'outgoing.row']);
}

type OutgoingRow = Pick<Process, 'instances'> & {
  [Name in 'memory_mb' | 'disk_mb' | 'log_rate_limit']: number | null;
} & Pick<Process, 'droplet_guid' | 'revision_guid'>;

const OUTGOING = sql<{ place: number; lrp: string | null; row: OutgoingRow | null }>`(
  SELECT 0 AS place, NULL AS lrp, NULL::jsonb AS "row"
  UNION ALL
  SELECT id, lrp_guid, to_jsonb(outgoing_lrps) FROM outgoing_lrps
  WHERE process_guid = processes.guid AND failed_version = processes.version AND until IS NULL
    AND processes.state = 'STARTED')`;

/** What was selected, as the process or the version that it is. */
export function shownOf<Row extends Selected>({ lrp, row, ...process }: Row): Shown<Omit<Row, 'lrp' | 'row'>> {
  if (lrp === null || row === null) return asShown(process);
  const version = versionOf(lrp);
  return {
    ...process,
    guid: version,
    version,
    instances: row.instances,
    memory_mb: row.memory_mb ?? process.memory_mb,
    disk_mb: row.disk_mb ?? process.disk_mb,
    log_rate_limit: row.log_rate_limit ?? process.log_rate_limit,
    droplet_guid: row.droplet_guid ?? process.droplet_guid,
    revision_guid: row.revision_guid ?? process.revision_guid,
    lrp_guid: lrp,
    isOutgoing: true,
  };
}
