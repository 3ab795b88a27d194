import { create, type JsonValue, toJson } from '@bufbuild/protobuf';
import { sql } from 'kysely';
import {
  type DesiredLrp,
  DesiredLrpSchema,
  EgressRuleSchema,
  type Owner,
  type OwnerNames,
  OwnerNamesSchema,
  OwnerSchema,
  RouteSchema,
  type UpdateDesiredLrpRequest,
} from '../../contracts/gen/diego_pb.js';
import { fingerprintOf, type GuidRange, groupOf, isInGroup, isInRange } from '../../contracts/lrp-fingerprint.ts';
import { type BbsDatabase, type BbsTransaction, shortTransaction, stored } from '../schema.ts';
import type { Definitions, SealedColumns } from '../sealing.ts';

/** A field of the owner, which is not written where it is empty. */
const ownerField = (name: keyof Owner & string) => sql<string>`coalesce(owner->>${sql.lit(name)}, '')`;
/** As the index has it. */
const APP_GUID = ownerField('appGuid');

/** What shall run. */
export class DesiredLrpStore {
  readonly #db: BbsDatabase;
  readonly #definitions: Definitions;

  constructor(db: BbsDatabase, definitions: Definitions) {
    this.#db = db;
    this.#definitions = definitions;
  }

  /** Creates or replaces the LRP and its missing actual LRPs in one transaction; what runs already stays. */
  async desire(lrp: DesiredLrp, nowMs: number): Promise<void> {
    const sealed = this.#definitions.sealDesiredLrp(lrp);
    const routes = JSON.stringify(lrp.routes.map((route) => toJson(RouteSchema, route)));
    const egressRules = JSON.stringify(lrp.egressRules.map((rule) => toJson(EgressRuleSchema, rule)));
    await shortTransaction(this.#db, async (trx) => {
      await sql`
        INSERT INTO desired_lrps (process_guid, instances, annotation, stack, placement_tags, memory_mb, disk_mb,
                                  routes, egress_rules, owner, definition, key_label)
        VALUES (${lrp.processGuid}, ${lrp.instances}, ${lrp.annotation}, ${lrp.stack}, ${lrp.placementTags},
                ${lrp.memoryMb}, ${lrp.diskMb}, ${routes}::jsonb, ${egressRules}::jsonb,
                ${ownerJson(lrp.owner)}::jsonb, ${sealed.data}, ${sealed.keyLabel})
        ON CONFLICT (process_guid) DO UPDATE SET
          instances = excluded.instances, annotation = excluded.annotation, stack = excluded.stack,
          placement_tags = excluded.placement_tags, memory_mb = excluded.memory_mb, disk_mb = excluded.disk_mb,
          routes = excluded.routes, egress_rules = excluded.egress_rules, owner = excluded.owner,
          definition = excluded.definition, key_label = excluded.key_label`.execute(trx);
      await matchInstances(trx, lrp.processGuid, lrp.instances, nowMs);
    });
  }

  /** Gives false where no such LRP is desired. */
  async update(request: UpdateDesiredLrpRequest, nowMs: number): Promise<boolean> {
    const { processGuid, instances, annotation } = request;
    const names = JSON.stringify(request.names ? namesOf(request.names) : {});
    const routes = request.setRoutes ? JSON.stringify(request.routes.map((route) => toJson(RouteSchema, route))) : null;
    const egressRules = request.setEgressRules
      ? JSON.stringify(request.egressRules.map((rule) => toJson(EgressRuleSchema, rule)))
      : null;
    return shortTransaction(this.#db, async (trx) => {
      const { rows } = await sql<{ instances: number }>`
        UPDATE desired_lrps SET
          instances = coalesce(${instances ?? null}::integer, instances),
          annotation = coalesce(${annotation ?? null}::text, annotation),
          routes = coalesce(${routes}::jsonb, routes),
          egress_rules = coalesce(${egressRules}::jsonb, egress_rules),
          owner = owner || ${names}::jsonb
        WHERE process_guid = ${processGuid} RETURNING instances`.execute(trx);
      if (!rows[0]) return false;
      if (instances !== undefined) await matchInstances(trx, processGuid, rows[0].instances, nowMs);
      return true;
    });
  }

  /** Gives false where there was none. Actual LRPs on a cell stay until the cell says that they stopped. */
  async remove(processGuid: string): Promise<boolean> {
    return shortTransaction(this.#db, async (trx) => {
      const { numAffectedRows } = await sql`
        DELETE FROM desired_lrps WHERE process_guid = ${processGuid}`.execute(trx);
      await matchInstances(trx, processGuid, 0, 0);
      return (numAffectedRows ?? 0n) > 0n;
    });
  }

  /** Those of these apps or of a group, or all where neither is named; without what is sealed. */
  async list(appGuids: readonly string[], group?: string): Promise<DesiredLrp[]> {
    const ofThese = appGuids.length > 0 ? sql`${APP_GUID} = ANY(${appGuids}::text[])` : sql`true`;
    const ofGroup = group === undefined ? sql`true` : isInGroup(APP_GUID, group);
    const { rows } = await sql<{
      process_guid: string;
      instances: number;
      annotation: string;
      routes: JsonValue[];
      owner: JsonValue;
    }>`SELECT process_guid, instances, annotation, routes, owner FROM desired_lrps
      WHERE ${ofThese} AND ${ofGroup} ORDER BY process_guid`.execute(this.#db);
    return rows.map((row) =>
      create(DesiredLrpSchema, {
        processGuid: row.process_guid,
        instances: row.instances,
        annotation: row.annotation,
        routes: row.routes.map((route) => stored(RouteSchema, route)),
        owner: stored(OwnerSchema, row.owner),
      }),
    );
  }

  /** By group. */
  async fingerprints(range: GuidRange): Promise<Record<string, string>> {
    const fingerprint = fingerprintOf({
      guid: sql.ref('process_guid'),
      instances: sql.ref('instances'),
      annotation: sql.ref('annotation'),
      appName: ownerField('appName'),
      spaceName: ownerField('spaceName'),
      organizationName: ownerField('organizationName'),
    });
    const { rows } = await sql<{ group: string; fingerprint: string }>`
      SELECT ${groupOf(APP_GUID)} AS "group", ${fingerprint} AS fingerprint FROM desired_lrps
      WHERE ${isInRange(APP_GUID, range)} GROUP BY 1`.execute(this.#db);
    return Object.fromEntries(rows.map(({ group, fingerprint }) => [group, fingerprint]));
  }

  /** What the owners of those that are desired are called now. */
  async names(processGuids: readonly string[]): Promise<Map<string, OwnerNames>> {
    const { rows } = await sql<{ process_guid: string; owner: JsonValue }>`
      SELECT process_guid, owner FROM desired_lrps WHERE process_guid = ANY(${processGuids}::text[])`.execute(this.#db);
    return new Map(
      rows.map((row) => [row.process_guid, create(OwnerNamesSchema, namesOf(stored(OwnerSchema, row.owner)))]),
    );
  }

  /**
   * The whole LRPs, environment opened, as cells need them; those that are gone are missing in the answer. Whose they are
   * is what was sealed; only the names are taken from the column that follows a rename.
   */
  async open(processGuids: readonly string[]): Promise<Map<string, DesiredLrp>> {
    const { rows } = await sql<
      SealedColumns & {
        process_guid: string;
        instances: number;
        annotation: string;
        routes: JsonValue[];
        egress_rules: JsonValue[];
        owner: JsonValue;
      }
    >`SELECT process_guid, instances, annotation, routes, egress_rules, owner, definition, key_label
      FROM desired_lrps WHERE process_guid = ANY(${processGuids}::text[])`.execute(this.#db);
    return new Map(
      rows.map((row) => {
        const lrp = this.#definitions.openDesiredLrp(row.process_guid, row);
        lrp.instances = row.instances;
        lrp.annotation = row.annotation;
        lrp.routes = row.routes.map((route) => stored(RouteSchema, route));
        lrp.egressRules = row.egress_rules.map((rule) => stored(EgressRuleSchema, rule));
        if (lrp.owner) Object.assign(lrp.owner, namesOf(stored(OwnerSchema, row.owner)));
        return [row.process_guid, lrp];
      }),
    );
  }
}

/** Nothing but the names, empty ones too. */
function namesOf({ appName, spaceName, organizationName }: Owner | OwnerNames) {
  return { appName, spaceName, organizationName };
}

export function ownerJson(owner: Owner | undefined): string {
  return JSON.stringify(toJson(OwnerSchema, owner ?? create(OwnerSchema)));
}

/** Creates the missing actual LRPs of a process and drops those beyond `instances` that no cell holds. */
async function matchInstances(
  trx: BbsTransaction,
  processGuid: string,
  instances: number,
  nowMs: number,
): Promise<void> {
  await sql`
    DELETE FROM actual_lrps
    WHERE process_guid = ${processGuid} AND index >= ${instances} AND state IN ('UNCLAIMED', 'CRASHED')`.execute(trx);
  if (instances === 0) return;
  await sql`
    INSERT INTO actual_lrps (process_guid, index, state, since_ms)
    SELECT ${processGuid}, index, 'UNCLAIMED', ${nowMs} FROM generate_series(0, ${instances - 1}::integer) AS index
    ON CONFLICT DO NOTHING`.execute(trx);
}
