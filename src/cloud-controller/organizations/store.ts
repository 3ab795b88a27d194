import { type Selectable, sql } from 'kysely';
import type { Visible } from '../authorization.ts';
import { type Db, now, type RowColumns } from '../database.ts';
import { isUniqueViolation, unprocessable } from '../errors.ts';
import { lowered, narrow, type Page, page } from '../list.ts';
import { type MetadataColumns, type MetadataInput, mergeMetadata, metadataColumns, newMetadata } from '../metadata.ts';
import type { Query, QueryRules } from '../query.ts';

export interface OrganizationTable extends RowColumns, MetadataColumns {
  name: string;
  suspended: boolean;
  quota_guid: string;
  default_isolation_segment_guid: string | null;
}
export type Organization = Selectable<OrganizationTable>;

/** The quota every new organization has; it is there from the first start. */
export const DEFAULT_QUOTA_GUID = '00000000-0000-4000-8000-000000000001';

export const organizationQuery = {
  list: true,
  labels: true,
  orderBy: ['name'],
  filters: ['names'],
} as const satisfies QueryRules;

export async function findOrganization(db: Db, guid: string): Promise<Organization | null> {
  return (await db.selectFrom('organizations').selectAll().where('guid', '=', guid).executeTakeFirst()) ?? null;
}

export async function findOrganizations(db: Db, guids: readonly string[]): Promise<Organization[]> {
  if (guids.length === 0) return [];
  return db.selectFrom('organizations').selectAll().where('guid', 'in', guids).orderBy('id').execute();
}

/** With `entitledTo` only those that may use that isolation segment. */
export async function listOrganizations(
  db: Db,
  query: Query,
  visible: Visible,
  entitledTo?: string,
): Promise<Page<Organization>> {
  let select = narrow(db.selectFrom('organizations').selectAll('organizations'), 'organizations', query, {
    column: 'organizations.guid',
    to: visible,
  });
  const names = query.filters.get('names');
  if (names) select = select.where(sql<boolean>`lower(organizations.name) = ANY(${lowered(names)})`);
  if (entitledTo !== undefined) {
    select = select.where(
      sql<boolean>`organizations.guid IN (SELECT organization_guid FROM organization_isolation_segments
        WHERE isolation_segment_guid = ${entitledTo})`,
    );
  }
  return page(db, select, 'organizations', query);
}

export async function insertOrganization(
  db: Db,
  values: { name: string; suspended: boolean; metadata?: MetadataInput },
): Promise<Organization> {
  try {
    return await db
      .insertInto('organizations')
      .values({
        guid: crypto.randomUUID(),
        name: values.name,
        suspended: values.suspended,
        quota_guid: DEFAULT_QUOTA_GUID,
        default_isolation_segment_guid: null,
        ...newMetadata(values.metadata),
      })
      .returningAll()
      .executeTakeFirstOrThrow();
  } catch (error) {
    throw nameTaken(error, values.name);
  }
}

export async function updateOrganization(
  db: Db,
  organization: Organization,
  changes: { name?: string; suspended?: boolean; metadata?: MetadataInput },
): Promise<Organization> {
  try {
    return await db
      .updateTable('organizations')
      .set({
        name: changes.name ?? organization.name,
        suspended: changes.suspended ?? organization.suspended,
        ...metadataColumns(mergeMetadata(organization, changes.metadata)),
        updated_at: now,
      })
      .where('guid', '=', organization.guid)
      .returningAll()
      .executeTakeFirstOrThrow();
  } catch (error) {
    throw nameTaken(error, changes.name ?? organization.name);
  }
}

/** The CLI recognises a taken name by this sentence. */
function nameTaken(error: unknown, name: string): unknown {
  if (!isUniqueViolation(error, 'organizations_name_key')) return error;
  return unprocessable(`Organization '${name}' already exists.`);
}
