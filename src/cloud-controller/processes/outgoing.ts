import type { Generated } from 'kysely';
import { sql } from 'kysely';
import type { ActualLrp } from '../../contracts/gen/diego_pb.js';
import { messageOf } from '../../kit/errors.ts';
import { logLine } from '../apps/log-lines.ts';
import { type App, findApp } from '../apps/store.ts';
import type { Context } from '../context.ts';
import type { WithDefault } from '../database.ts';
import { type Db, now, type Trx } from '../database.ts';
import type { Guid } from '../guid.ts';
import { keepAtMost } from '../quotas/outgoing-bound.ts';
import type { Counted } from '../quotas/within.ts';
import { lrpGuid } from './lrp-guid.ts';
import { type Process, type ProcessChanges, resizeProcess } from './store.ts';

declare module '../database.ts' {
  interface Database {
    outgoing_lrps: OutgoingLrpTable;
  }
}

/** An LRP that serves until its successor does. */
export interface OutgoingLrpTable {
  id: Generated<number>;
  lrp_guid: string;
  app_guid: Guid<'app'>;
  /** The process whose current version replaces it. */
  process_guid: string;
  instances: number;
  since: Generated<Date>;
  /** Null: until it is replaced. */
  until: Date | null;
  /** The version of its successor whose instances all crashed: then it is shown beside it. */
  failed_version: WithDefault<string | null>;
  /** What it runs with; null where it was written down before this was. */
  memory_mb: WithDefault<number | null>;
  disk_mb: WithDefault<number | null>;
  log_rate_limit: WithDefault<number | null>;
  droplet_guid: WithDefault<Guid<'droplet'> | null>;
  revision_guid: WithDefault<string | null>;
}

/**
 * Restarts without a failed request: what serves requests goes on while its successor starts. An LRP that is replaced is
 * remembered as outgoing; as instances of the new one become ready, as many of the old stop.
 */

/** `cf restart` is a stop and, a moment later, a start: what is stopped goes on serving for so long. */
const GRACE = sql`interval '1.5 seconds'`;
/** Beside a version that never gets ready the old one serves no longer. */
const LONGEST = sql`interval '1 hour'`;
/** A new instance that finds no place beside the old ones waits for so long before an old one gives way. */
const ROOM_PATIENCE_MS = 5_000;

/** A new version of a process: all its instances are made anew (CC-07). Those that serve go on until the new ones do. */
export async function renewProcess(
  trx: Counted,
  app: App,
  process: Process,
  changes: ProcessChanges = {},
): Promise<Process> {
  if (process.state === 'STARTED') await keepServing(trx, app, process, process.guid);
  return resizeProcess(trx, process.guid, { ...changes, version: crypto.randomUUID() });
}

/** The running LRP of a process serves on until `successor`, another process or its own next version, does. */
export async function keepServing(trx: Counted, app: App, process: Process, successor: string): Promise<void> {
  await remember(trx, app, process, successor, sql`NULL`);
}

/** What serves goes on for a moment, in case the stop is the first half of a restart. */
export async function beginGrace(trx: Counted, app: App, process: Process): Promise<void> {
  await trx
    .updateTable('outgoing_lrps')
    .set({ until: sql`now() + ${GRACE}` })
    .where('process_guid', '=', process.guid)
    .where('until', 'is', null)
    .execute();
  if (process.state === 'STARTED') await remember(trx, app, process, process.guid, sql`now() + ${GRACE}`);
}

/** A start within the grace makes it a restart. */
export async function endGrace(trx: Trx, appGuid: Guid<'app'>): Promise<void> {
  await trx
    .updateTable('outgoing_lrps')
    .set({ until: null })
    .where('app_guid', '=', appGuid)
    .where('until', '>', now)
    .execute();
}

/** Only what routes lead to, and only while the app allows two versions beside each other. */
async function remember(
  trx: Counted,
  app: App,
  process: Process,
  successor: string,
  until: ReturnType<typeof sql<Date | null>>,
): Promise<void> {
  if (!app.rolling_restarts_enabled || process.instances === 0) return;
  const destination = await trx
    .selectFrom('route_destinations')
    .select('guid')
    .where('app_guid', '=', app.guid)
    .where('process_type', '=', process.type)
    .limit(1)
    .executeTakeFirst();
  if (!destination) return;
  await trx
    .insertInto('outgoing_lrps')
    .values({
      lrp_guid: lrpGuid(process.guid, process.version),
      app_guid: app.guid,
      process_guid: successor,
      instances: process.instances,
      memory_mb: process.version_memory_mb ?? process.memory_mb,
      disk_mb: process.disk_mb,
      log_rate_limit: process.version_log_rate_limit ?? process.log_rate_limit,
      droplet_guid: process.droplet_guid,
      revision_guid: process.revision_guid,
      until,
    })
    .onConflict((conflict) => conflict.column('lrp_guid').doUpdateSet({ process_guid: successor, until }))
    .execute();
}

/**
 * Lets go of what is replaced or whose grace is over. Gives the apps of
 * what is outgoing, and of what has gone. What fails for one process fails for no other.
 */
export async function advanceOutgoing(context: Context): Promise<readonly string[]> {
  const { db, log } = context;
  const over = await sql<{ app_guid: Guid<'app'> }>`
    DELETE FROM outgoing_lrps WHERE until <= now() OR since < now() - ${LONGEST} RETURNING app_guid`.execute(db);
  const rows = await db
    .selectFrom('outgoing_lrps')
    .innerJoin('processes', 'processes.guid', 'outgoing_lrps.process_guid')
    .select(['outgoing_lrps.lrp_guid', 'outgoing_lrps.instances', 'outgoing_lrps.until', 'outgoing_lrps.app_guid'])
    .select(['processes.guid', 'processes.version', 'processes.instances as wanted'])
    .orderBy('outgoing_lrps.id', 'desc')
    .execute();
  const replaced = Map.groupBy(
    rows.filter(({ until }) => until === null),
    ({ guid }) => guid,
  );
  for (const [process, outgoing] of replaced) {
    try {
      await replace(context, outgoing);
    } catch (error) {
      log.warn('a restart took no step; it is tried again', { process, error: messageOf(error) });
    }
  }
  return [...rows, ...over.rows].map((row) => row.app_guid);
}

interface Outgoing {
  lrp_guid: string;
  instances: number;
  app_guid: Guid<'app'>;
  guid: string;
  version: string;
  wanted: number;
}

/** One step for one process; `outgoing` newest first. */
async function replace(context: Context, outgoing: readonly Outgoing[]): Promise<void> {
  const { db, bbs } = context;
  const { guid, version, wanted, app_guid: appGuid } = outgoing[0]!;
  const successor = lrpGuid(guid, version);
  const processGuids = [successor, ...outgoing.map((row) => row.lrp_guid)];
  const { actualLrps } = await bbs.actualLrps({ processGuids });
  const of = Map.groupBy(actualLrps, ({ processGuid }) => processGuid);
  if (haveCrashed(of.get(successor))) await showBeside(db, outgoing, version);
  let needed = wanted - servingOf(of.get(successor)).length;
  const givesWay = lacksRoom(of.get(successor) ?? [], context.clock().getTime());
  for (const { lrp_guid: lrp, instances } of outgoing) {
    const actual = of.get(lrp) ?? [];
    const keep = indicesToKeep(servingOf(actual), needed);
    // Room is made one instance at a time, and the next only when the last is gone.
    const spare = givesWay && actual.length <= instances && keep > 0 && keep === instances ? keep - 1 : keep;
    if (spare < keep) await sayThatOneGivesWay(context, appGuid);
    needed -= spare;
    if (spare === 0) await db.deleteFrom('outgoing_lrps').where('lrp_guid', '=', lrp).execute();
    else if (spare < instances) {
      await keepAtMost(db, lrp, spare);
    }
  }
}

function servingOf(lrps: readonly ActualLrp[] = []): ActualLrp[] {
  return lrps.filter(({ state, routable }) => state === 'RUNNING' && routable !== false);
}

function haveCrashed(lrps: readonly ActualLrp[] = []): boolean {
  return lrps.length > 0 && lrps.every(({ state }) => state === 'CRASHED');
}

/**
 * From now on clients see what serves in the crashed version's place. Not sooner: a client that waits for a start waits for
 * every process it was shown, and this one goes when the start succeeds.
 */
async function showBeside(db: Db, outgoing: readonly Outgoing[], version: string): Promise<void> {
  const guids = outgoing.map((row) => row.lrp_guid);
  await db.updateTable('outgoing_lrps').set({ failed_version: version }).where('lrp_guid', 'in', guids).execute();
}

/** How many instances an LRP must keep, counted from index 0, so that `needed` of those that serve stay. */
export function indicesToKeep(serving: readonly Pick<ActualLrp, 'index'>[], needed: number): number {
  if (needed <= 0 || serving.length === 0) return 0;
  const indices = serving.map(({ index }) => index).sort((a, b) => a - b);
  return indices[Math.min(needed, indices.length) - 1]! + 1;
}

/** None of the new instances is on its way, and one has waited for a place for a while. */
function lacksRoom(lrps: readonly ActualLrp[], nowMs: number): boolean {
  return (
    !lrps.some(({ state }) => state === 'CLAIMED') &&
    lrps.some(
      ({ state, placementError, sinceNs }) =>
        state === 'UNCLAIMED' && placementError !== '' && nowMs - Number(sinceNs / 1_000_000n) > ROOM_PATIENCE_MS,
    )
  );
}

async function sayThatOneGivesWay(context: Context, appGuid: Guid<'app'>): Promise<void> {
  const app = await findApp(context.db, appGuid);
  if (app)
    logLine(context, app, 'There is no room for a new instance beside those that serve: one of them stops first');
}
