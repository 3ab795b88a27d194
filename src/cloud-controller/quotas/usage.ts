import { sql } from 'kysely';
import type { Context } from '../context.ts';

/** `usage_summary` of a space or, without `spaceGuid`, of an organization. */
export async function usageView(
  context: Context,
  organizationGuid: string,
  spaceGuid?: string,
): Promise<Record<string, number>> {
  const { db, hooks } = context;
  const usage = await hooks.usage(db, organizationGuid, spaceGuid);
  const space = spaceGuid ?? null;
  const counts = await sql<{ routes: number; domains: number }>`
    SELECT
      (SELECT count(*) FROM routes JOIN spaces ON spaces.guid = routes.space_guid
        WHERE spaces.organization_guid = ${organizationGuid} AND (${space}::text IS NULL OR spaces.guid = ${space})) AS routes,
      (SELECT count(*) FROM domains WHERE organization_guid = ${organizationGuid}) AS domains`.execute(db);
  return {
    started_instances: usage.startedInstances,
    memory_in_mb: usage.memoryMb,
    routes: counts.rows[0]?.routes ?? 0,
    service_instances: 0,
    reserved_ports: 0,
    domains: counts.rows[0]?.domains ?? 0,
    per_app_tasks: usage.perAppTasks,
    service_keys: 0,
  };
}
