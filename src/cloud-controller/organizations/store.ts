import type { Selectable } from 'kysely';
import { type Db, lockRow, now, type RowColumns, type Trx } from '../database.ts';
import { isUniqueViolation, notFound, unprocessable } from '../errors.ts';
import { type Guid, guid, newGuid } from '../guid.ts';
import { changedMetadata, type MetadataColumns, type MetadataInput, newMetadata } from '../metadata.ts';

declare module '../database.ts' {
  interface Database {
    organizations: OrganizationTable;
  }
}

export interface OrganizationTable extends RowColumns<Guid<'organization'>>, MetadataColumns {
  name: string;
  suspended: boolean;
  quota_guid: Guid<'organization_quota'>;
  default_isolation_segment_guid: Guid<'isolation_segment'> | null;
}
export type Organization = Selectable<OrganizationTable>;

/** The quota every new organization has; it is there from the first start. */
const DEFAULT_QUOTA_GUID = guid<'organization_quota'>('00000000-0000-4000-8000-000000000001');

export async function findOrganization(db: Db, guid: Guid<'organization'>): Promise<Organization | null> {
  return (await db.selectFrom('organizations').selectAll().where('guid', '=', guid).executeTakeFirst()) ?? null;
}

export async function findOrganizations(db: Db, guids: readonly Guid<'organization'>[]): Promise<Organization[]> {
  if (guids.length === 0) return [];
  return db.selectFrom('organizations').selectAll().where('guid', 'in', guids).orderBy('id').execute();
}

export async function insertOrganization(
  trx: Trx,
  values: { name: string; suspended: boolean; metadata: MetadataInput | undefined },
): Promise<Organization> {
  try {
    return await trx
      .insertInto('organizations')
      .values({
        guid: newGuid<'organization'>(),
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

/** Makes a user a manager of a new organization. */
export async function insertManager(trx: Trx, organizationGuid: Guid<'organization'>, userGuid: string): Promise<void> {
  const role = { user_guid: userGuid, organization_guid: organizationGuid, space_guid: null };
  const types = ['organization_user', 'organization_manager'] as const;
  await trx
    .insertInto('roles')
    .values(types.map((type) => ({ guid: crypto.randomUUID(), type, ...role })))
    .execute();
}

export async function updateOrganization(
  trx: Trx,
  guid: Guid<'organization'>,
  changes: {
    name?: string;
    suspended?: boolean;
    metadata?: MetadataInput;
    defaultIsolationSegmentGuid?: Guid<'isolation_segment'> | null;
  },
): Promise<Organization> {
  const before = await lockRow(trx, 'organizations', guid, notFound('Organization'));
  const { name, suspended, metadata } = changes;
  try {
    return await trx
      .updateTable('organizations')
      .set({
        name,
        suspended,
        default_isolation_segment_guid: changes.defaultIsolationSegmentGuid,
        ...changedMetadata(before, metadata),
        updated_at: now,
      })
      .where('guid', '=', guid)
      .returningAll()
      .executeTakeFirstOrThrow();
  } catch (error) {
    throw nameTaken(error, name ?? before.name);
  }
}

/** The CLI recognises a taken name by this sentence. */
function nameTaken(error: unknown, name: string): unknown {
  if (!isUniqueViolation(error, 'organizations_name_key')) return error;
  return unprocessable(`Organization '${name}' already exists.`);
}
