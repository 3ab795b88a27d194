import { sql } from 'kysely';
import { type Static, Type } from 'typebox';
import type { Context } from '../context.ts';
import type { Guid } from '../guid.ts';
import { Link } from '../view.ts';
import { usage } from './usage.ts';

const Count = Type.Integer();
const UsageView = Type.Object(
  {
    started_instances: Count,
    memory_in_mb: Count,
    routes: Count,
    service_instances: Count,
    reserved_ports: Count,
    domains: Count,
    per_app_tasks: Count,
    service_keys: Count,
  },
  { title: 'Usage' },
);
export const UsageSummaryView = Type.Object(
  { usage_summary: UsageView, links: Type.Record(Type.String(), Link) },
  { title: 'UsageSummary' },
);

/** `usage_summary` of a space or, without `spaceGuid`, of an organization. */
export async function usageView(
  context: Context,
  organizationGuid: Guid<'organization'>,
  spaceGuid?: Guid<'space'>,
): Promise<Static<typeof UsageView>> {
  const { db } = context;
  const used = await usage(db, organizationGuid, spaceGuid);
  const space = spaceGuid ?? null;
  const counts = await sql<{ routes: number; domains: number }>`
    SELECT
      (SELECT count(*) FROM routes JOIN spaces ON spaces.guid = routes.space_guid
        WHERE spaces.organization_guid = ${organizationGuid} AND (${space}::text IS NULL OR spaces.guid = ${space})) AS routes,
      (SELECT count(*) FROM domains WHERE organization_guid = ${organizationGuid}) AS domains`.execute(db);
  return {
    started_instances: used.startedInstances,
    memory_in_mb: used.memoryMb,
    routes: counts.rows[0]?.routes ?? 0,
    service_instances: 0,
    reserved_ports: 0,
    domains: counts.rows[0]?.domains ?? 0,
    per_app_tasks: used.perAppTasks,
    service_keys: 0,
  };
}
