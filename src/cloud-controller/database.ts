import type { Generated, Kysely, RawBuilder } from 'kysely';
import { sql } from 'kysely';
import type { AppTables } from './apps/tables.ts';
import type { AuditEventTable } from './audit-events/store.ts';
import type { DomainSharedOrganizationTable, DomainTable } from './domains/store.ts';
import type { EnvironmentVariableGroupTable } from './environment-variable-groups/store.ts';
import type { FeatureFlagTable } from './feature-flags/store.ts';
import type { IsolationSegmentTable, OrganizationIsolationSegmentTable } from './isolation-segments/store.ts';
import type { JobTable } from './jobs/store.ts';
import type { OrganizationTable } from './organizations/store.ts';
import type { OrganizationQuotaTable, SpaceQuotaTable } from './quotas/store.ts';
import type { RoleTable } from './roles/store.ts';
import type { RouteDestinationTable, RouteTable } from './routes/store.ts';
import type { SecurityGroupSpaceTable, SecurityGroupTable } from './security-groups/store.ts';
import type { SpaceTable } from './spaces/store.ts';
import type { UserTable } from './users/store.ts';

/** The schema `cc`: each resource's store says what its tables hold. */
export interface Database extends AppTables {
  organizations: OrganizationTable;
  organization_quotas: OrganizationQuotaTable;
  organization_isolation_segments: OrganizationIsolationSegmentTable;
  isolation_segments: IsolationSegmentTable;
  spaces: SpaceTable;
  space_quotas: SpaceQuotaTable;
  users: UserTable;
  roles: RoleTable;
  audit_events: AuditEventTable;
  jobs: JobTable;
  feature_flags: FeatureFlagTable;
  environment_variable_groups: EnvironmentVariableGroupTable;
  domains: DomainTable;
  domain_shared_organizations: DomainSharedOrganizationTable;
  routes: RouteTable;
  route_destinations: RouteDestinationTable;
  security_groups: SecurityGroupTable;
  security_group_spaces: SecurityGroupSpaceTable;
}

/** The database or a transaction on it. */
export type Db = Kysely<Database>;

/** What each resource's row begins with. `id` gives the order of creation. */
export interface RowColumns {
  id: Generated<number>;
  guid: string;
  created_at: Generated<Date>;
  updated_at: Generated<Date>;
}

/** The time of the transaction, for updated_at. */
export const now: RawBuilder<Date> = sql<Date>`now()`;
