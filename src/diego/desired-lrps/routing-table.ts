import { create, type JsonValue } from '@bufbuild/protobuf';
import { type RawBuilder, sql } from 'kysely';
import { OwnerSchema, type RouteEntry, RouteEntrySchema, RouteSchema } from '../../contracts/gen/diego_pb.js';
import { type BbsDatabase, stored } from '../schema.ts';

interface Row {
  process_guid: string;
  routes: JsonValue[];
  owner: JsonValue;
  instances:
    | { guid: string; index: number; address: string; ports: { containerPort?: number; hostTlsProxyPort?: number }[] }[]
    | null;
  fingerprint: string;
}

/** So many LRPs, in the order of their guids, after this one. */
export interface Page {
  atMost: number;
  after: string;
}

/** What these LRPs, or all that share the first characters of their guids, are in the routing table. */
export interface Fingerprint {
  key: string;
  fingerprint: bigint;
  count: number;
}

/** Condition: which of `desired_lrps d` are meant. */
type Which = RawBuilder<unknown>;

const BUCKET = sql`left(process_guid, 3)`;

/**
 * The LRPs' routes with the instances behind them that run and are ready. Instances beyond the desired number are left out the moment
 * they are no longer wanted, so that traffic leaves them before they stop; an instance that leaves its drained cell is there until the
 * moment another one runs in its place.
 */
const rowsOf = (which: Which) => sql`
  SELECT d.process_guid, d.routes, d.owner, r.instances
  FROM desired_lrps d
  -- For each LRP by index, however many there are: joined, a wrong guess of how many makes it take minutes.
  CROSS JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object(
      'guid', a.instance_guid, 'index', a.index, 'address', a.host_address, 'ports', a.ports)
      ORDER BY a.index, a.instance_guid) AS instances
    FROM (
      SELECT index, instance_guid, host_address, ports FROM actual_lrps
      WHERE process_guid = d.process_guid AND index < d.instances AND state = 'RUNNING' AND routable
      UNION ALL
      SELECT e.index, e.instance_guid, e.host_address, e.ports FROM evacuating_lrps e
      WHERE e.process_guid = d.process_guid AND e.index < d.instances AND e.routable AND NOT EXISTS (SELECT 1 FROM actual_lrps taken
        WHERE taken.process_guid = e.process_guid AND taken.index = e.index AND taken.state = 'RUNNING' AND taken.routable)
    ) a
  ) r
  WHERE d.routes <> '[]' AND ${which}`;

/** Of all that `rowsOf` gives of an LRP; its parts cannot run into each other, for JSON holds no line's end. */
const FINGERPRINT = sql`hashtextextended(
  process_guid || E'\n' || routes::text || E'\n' || owner::text || E'\n' || coalesce(instances::text, ''), 0)`;

/** The entries of these LRPs, in one query. A route without instances is there with no endpoint: known, and unavailable. */
export function namedRoutes(db: BbsDatabase, processGuids: readonly string[]): Promise<RouteEntry[]> {
  return entriesOf(db, sql`d.process_guid = ANY(${processGuids}::text[])`);
}

/** The entries of all LRPs. */
export function allRoutes(db: BbsDatabase): Promise<RouteEntry[]> {
  return entriesOf(db, sql`true`);
}

/** The entries of a page of LRPs; `last` is the page's last one, empty where none comes after it. */
export async function pageOfRoutes(db: BbsDatabase, page: Page): Promise<{ entries: RouteEntry[]; last: string }> {
  const last = await lastOf(db, page);
  return { entries: await entriesOf(db, within(page, last)), last };
}

/**
 * The fingerprints of a page: of each bucket with something in it, or of each LRP of these buckets. Of fingerprints of the same LRPs in
 * the same state each is the same, and is what the LRPs' entries carry.
 */
export async function pageOfFingerprints(
  db: BbsDatabase,
  page: Page,
  buckets: readonly string[],
): Promise<{ fingerprints: Fingerprint[]; last: string }> {
  const last = await lastOf(db, page);
  const isWithin = within(page, last);
  const [which, key]: [Which, RawBuilder<unknown>] =
    buckets.length === 0
      ? [isWithin, BUCKET]
      : [sql`${isWithin} AND ${BUCKET} = ANY(${buckets}::text[])`, sql.ref('process_guid')];
  const { rows } = await sql<{ key: string; count: number; fingerprint: string }>`
    SELECT ${key} AS key, count(*)::integer AS count, bit_xor(${FINGERPRINT})::text AS fingerprint
    FROM (${rowsOf(which)}) rows GROUP BY 1`.execute(db);
  const fingerprints = rows.map((row) => ({ ...row, fingerprint: unsigned(row.fingerprint) }));
  return { fingerprints, last };
}

async function lastOf(db: BbsDatabase, { atMost, after }: Page): Promise<string> {
  const { rows } = await sql<{ process_guid: string }>`
    SELECT process_guid FROM desired_lrps WHERE process_guid > ${after}
    ORDER BY process_guid OFFSET ${atMost - 1}::integer LIMIT 1`.execute(db);
  return rows[0]?.process_guid ?? '';
}

function within({ after }: Page, last: string): Which {
  return last === '' ? sql`d.process_guid > ${after}` : sql`d.process_guid > ${after} AND d.process_guid <= ${last}`;
}

async function entriesOf(db: BbsDatabase, which: Which): Promise<RouteEntry[]> {
  const { rows } = await sql<Row>`
    SELECT rows.*, ${FINGERPRINT}::text AS fingerprint FROM (${rowsOf(which)}) rows ORDER BY process_guid`.execute(db);
  return rows.flatMap(routeEntries);
}

function routeEntries({ process_guid: processGuid, routes, owner: ownerJson, instances, fingerprint }: Row) {
  const owner = stored(OwnerSchema, ownerJson);
  return routes.map((json) => {
    const route = stored(RouteSchema, json);
    const endpoints = (instances ?? []).flatMap((instance) => {
      const mapping = instance.ports.find((port) => route.port === 0 || port.containerPort === route.port);
      if (!mapping?.hostTlsProxyPort) return [];
      const { guid, index, address } = instance;
      return [{ instanceGuid: guid, index, address, port: mapping.hostTlsProxyPort }];
    });
    return create(RouteEntrySchema, { route, owner, endpoints, processGuid, fingerprint: unsigned(fingerprint) });
  });
}

/** PostgreSQL's integers have a sign. */
function unsigned(integer: string): bigint {
  return BigInt.asUintN(64, BigInt(integer));
}
