import type { Generated, Kysely, RawBuilder } from 'kysely';
import { sql } from 'kysely';
import type { AuditEventTable } from './audit-events/store.ts';
import type { FeatureFlagTable } from './feature-flags/store.ts';
import type { JobTable } from './jobs/store.ts';
import type { OrganizationQuotaTable, OrganizationTable } from './organizations/store.ts';
import type { RoleTable, UserTable } from './roles/store.ts';
import type { SpaceTable } from './spaces/store.ts';

/** The schema `cc`: each resource's store says what its tables hold. */
export interface Database {
  organizations: OrganizationTable;
  organization_quotas: OrganizationQuotaTable;
  spaces: SpaceTable;
  users: UserTable;
  roles: RoleTable;
  audit_events: AuditEventTable;
  jobs: JobTable;
  feature_flags: FeatureFlagTable;
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
