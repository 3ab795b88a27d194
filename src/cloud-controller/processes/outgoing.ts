import { sql } from 'kysely';
import type { ActualLrp } from '../../contracts/gen/diego_pb.js';
import { logLine } from '../apps/log-lines.ts';
import { type App, findApp } from '../apps/store.ts';
import type { Context } from '../context.ts';
import { type Db, now } from '../database.ts';
import { lrpGuid } from '../diego/recipe.ts';
import { type Process, updateProcess } from './store.ts';

/**
 * Restarts without a failed request: what serves requests goes on while its successor starts. An LRP that is replaced is
 * remembered as outgoing; as instances of the new one become ready, as many of the old stop.
 */

/** `cf restart` is a stop and, a moment later, a start: what is stopped goes on serving for so long. */
const FAREWELL = sql`interval '1.5 seconds'`;
/** Beside a version that never gets ready the old one serves no longer: the quota does not count it. */
const LONGEST = sql`interval '1 hour'`;
/** A new instance that finds no place beside the old ones waits for so long before an old one gives way. */
const ROOM_PATIENCE_MS = 5_000;

/** A new version of a process: all its instances are made anew (CC-07). Those that serve go on until the new ones do. */
export async function renewProcess(
  trx: Db,
  app: App,
  process: Process,
  changes: Parameters<typeof updateProcess>[2] = {},
): Promise<Process> {
  if (process.state === 'STARTED') await keepServing(trx, app, process, process.guid);
  return updateProcess(trx, process.guid, { ...changes, version: crypto.randomUUID() });
}

/** The running LRP of a process serves on until `successor`, another process or its own next version, does. */
export async function keepServing(trx: Db, app: App, process: Process, successor: string): Promise<void> {
  await remember(trx, app, process, successor, sql`NULL`);
}

/** What serves goes on for a moment, in case the stop is the first half of a restart. */
export async function serveFarewell(trx: Db, app: App, process: Process): Promise<void> {
  await trx
    .updateTable('outgoing_lrps')
    .set({ until: sql`now() + ${FAREWELL}` })
    .where('process_guid', '=', process.guid)
    .where('until', 'is', null)
    .execute();
  if (process.state === 'STARTED') await remember(trx, app, process, process.guid, sql`now() + ${FAREWELL}`);
}

/** A start within the farewell makes it a restart. */
export async function endFarewell(trx: Db, appGuid: string): Promise<void> {
  await trx
    .updateTable('outgoing_lrps')
    .set({ until: null })
    .where('app_guid', '=', appGuid)
    .where('until', '>', now)
    .execute();
}

/** Only what routes lead to, and only while the app allows two versions beside each other. */
async function remember(
  trx: Db,
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
      until,
    })
    .onConflict((conflict) => conflict.column('lrp_guid').doUpdateSet({ process_guid: successor, until }))
    .execute();
}

/** Lets go of what is replaced or has said farewell. True while there is anything outgoing. */
export async function advanceOutgoing(context: Context): Promise<boolean> {
  const { db } = context;
  await sql`DELETE FROM outgoing_lrps WHERE until <= now() OR since < now() - ${LONGEST}`.execute(db);
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
  for (const outgoing of replaced.values()) await replace(context, outgoing);
  return rows.length > 0;
}

interface Outgoing {
  lrp_guid: string;
  instances: number;
  app_guid: string;
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
      await db.updateTable('outgoing_lrps').set({ instances: spare }).where('lrp_guid', '=', lrp).execute();
    }
  }
}

function servingOf(lrps: readonly ActualLrp[] = []): ActualLrp[] {
  return lrps.filter(({ state, routable }) => state === 'RUNNING' && routable !== false);
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

async function sayThatOneGivesWay(context: Context, appGuid: string): Promise<void> {
  const app = await findApp(context.db, appGuid);
  if (app)
    logLine(context, app, 'There is no room for a new instance beside those that serve: one of them stops first');
}
