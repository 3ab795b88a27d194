import { create, type JsonValue } from '@bufbuild/protobuf';
import { sql } from 'kysely';
import { OwnerSchema, type RouteEntry, RouteEntrySchema, RouteSchema } from '../../contracts/gen/diego_pb.js';
import { type BbsDatabase, stored } from '../schema.ts';

interface Row {
  routes: JsonValue[];
  owner: JsonValue;
  instances:
    | { guid: string; index: number; address: string; ports: { containerPort?: number; hostTlsProxyPort?: number }[] }[]
    | null;
}

/**
 * Every route with the instances behind it that run and are ready, in one query. Instances beyond the desired number are left out the
 * moment they are no longer wanted, so that traffic leaves them before they stop; an instance that leaves its drained cell is
 * there until the moment another one runs in its place. A route without instances is there
 * with no endpoint: known, and unavailable.
 */
export async function routingTable(db: BbsDatabase): Promise<RouteEntry[]> {
  const { rows } = await sql<Row>`
    SELECT d.routes, d.owner, r.instances
    FROM desired_lrps d
    LEFT JOIN (
      SELECT a.process_guid, jsonb_agg(jsonb_build_object(
        'guid', a.instance_guid, 'index', a.index, 'address', a.host_address, 'ports', a.ports) ORDER BY a.index)
        AS instances
      FROM (
        SELECT process_guid, index, instance_guid, host_address, ports FROM actual_lrps
        WHERE state = 'RUNNING' AND routable
        UNION ALL
        SELECT e.process_guid, e.index, e.instance_guid, e.host_address, e.ports FROM evacuating_lrps e
        WHERE e.routable AND NOT EXISTS (SELECT 1 FROM actual_lrps taken WHERE taken.process_guid = e.process_guid
          AND taken.index = e.index AND taken.state = 'RUNNING' AND taken.routable)
      ) a JOIN desired_lrps wanted ON wanted.process_guid = a.process_guid AND a.index < wanted.instances
      GROUP BY a.process_guid
    ) r ON r.process_guid = d.process_guid
    WHERE d.routes <> '[]' ORDER BY d.process_guid`.execute(db);
  return rows.flatMap((row) => {
    const owner = stored(OwnerSchema, row.owner);
    return row.routes.map((json) => {
      const route = stored(RouteSchema, json);
      const endpoints = (row.instances ?? []).flatMap((instance) => {
        const mapping = instance.ports.find((port) => route.port === 0 || port.containerPort === route.port);
        if (!mapping?.hostTlsProxyPort) return [];
        const { guid, index, address } = instance;
        return [{ instanceGuid: guid, index, address, port: mapping.hostTlsProxyPort }];
      });
      return create(RouteEntrySchema, { route, owner, endpoints });
    });
  });
}
