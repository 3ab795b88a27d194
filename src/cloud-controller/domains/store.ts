import { type Selectable, type SelectQueryBuilder, sql } from 'kysely';
import type { Visible } from '../authorization.ts';
import { type Database, type Db, now, type RowColumns } from '../database.ts';
import { narrow, type Page, page } from '../list.ts';
import { type MetadataColumns, type MetadataInput, mergeMetadata, metadataColumns, newMetadata } from '../metadata.ts';
import type { Query, QueryRules } from '../query.ts';

export interface DomainTable extends RowColumns, MetadataColumns {
  /** Lower case. */
  name: string;
  internal: boolean;
  /** Null: shared by all organizations. */
  organization_guid: string | null;
}
export interface DomainSharedOrganizationTable {
  domain_guid: string;
  organization_guid: string;
}

/** A domain with the organizations it is shared to. */
export interface Domain extends Selectable<DomainTable> {
  shared_organization_guids: string[];
}

export const domainQuery = {
  list: true,
  labels: true,
  filters: ['names', 'organization_guids'],
} as const satisfies QueryRules;

function select(db: Db): SelectQueryBuilder<Database, 'domains', Domain> {
  return db
    .selectFrom('domains')
    .selectAll('domains')
    .select(
      sql<string[]>`ARRAY(SELECT organization_guid FROM domain_shared_organizations AS shared
        WHERE shared.domain_guid = domains.guid ORDER BY organization_guid)`.as('shared_organization_guids'),
    );
}

export async function findDomain(db: Db, guid: string): Promise<Domain | null> {
  return (await select(db).where('domains.guid', '=', guid).executeTakeFirst()) ?? null;
}

export async function findDomains(db: Db, guids: readonly string[]): Promise<Domain[]> {
  return guids.length === 0 ? [] : select(db).where('domains.guid', 'in', guids).orderBy('domains.id').execute();
}

export async function findDomainByName(db: Db, name: string): Promise<Domain | null> {
  return (await select(db).where('domains.name', '=', name.toLowerCase()).executeTakeFirst()) ?? null;
}

/** Shared domains, and those of the organizations given. */
export async function listDomains(db: Db, query: Query, organizations: Visible): Promise<Page<Domain>> {
  let narrowed = narrow(select(db), 'domains', query);
  if (!organizations.everything) {
    const { guids } = organizations;
    narrowed = narrowed.where(
      sql<boolean>`(domains.organization_guid IS NULL OR domains.organization_guid IN ${guids} OR domains.guid IN
        (SELECT domain_guid FROM domain_shared_organizations WHERE organization_guid IN ${guids}))`,
    );
  }
  const names = query.filters.get('names');
  const owners = query.filters.get('organization_guids');
  if (names)
    narrowed = narrowed.where(
      'domains.name',
      'in',
      names.map((name) => name.toLowerCase()),
    );
  if (owners) narrowed = narrowed.where('domains.organization_guid', 'in', owners);
  return page(db, narrowed, 'domains', query);
}

/** What an organization may make routes on: shared domains, its own and those shared to it. */
export async function listDomainsOfOrganization(
  db: Db,
  query: Query,
  organizationGuid: string,
  withPrivate: boolean,
): Promise<Page<Domain>> {
  const guids = withPrivate ? sql<string>`(SELECT ${organizationGuid})` : sql<string>`(SELECT NULL::text)`;
  return listDomains(db, query, { everything: false, guids });
}

/** The first shared domain for apps; else the organization's first own. */
export async function defaultDomain(db: Db, organizationGuid: string): Promise<Domain | null> {
  const row = await select(db)
    .where('domains.internal', '=', false)
    .where((eb) =>
      eb.or([eb('domains.organization_guid', 'is', null), eb('domains.organization_guid', '=', organizationGuid)]),
    )
    .orderBy(sql`domains.organization_guid IS NOT NULL`)
    .orderBy('domains.id')
    .limit(1)
    .executeTakeFirst();
  return row ?? null;
}

export function isUsableBy(domain: Domain, organizationGuid: string): boolean {
  const owner = domain.organization_guid;
  return owner === null || owner === organizationGuid || domain.shared_organization_guids.includes(organizationGuid);
}

/** Gives the guid. Throws the unique violation `domains_name_key`. */
export async function insertDomain(
  db: Db,
  values: { name: string; internal: boolean; organizationGuid: string | null; metadata?: MetadataInput },
): Promise<string> {
  const guid = crypto.randomUUID();
  await db
    .insertInto('domains')
    .values({
      guid,
      name: values.name.toLowerCase(),
      internal: values.internal,
      organization_guid: values.organizationGuid,
      ...newMetadata(values.metadata),
    })
    .execute();
  return guid;
}

export async function updateDomain(db: Db, domain: Domain, metadata: MetadataInput | undefined): Promise<void> {
  await db
    .updateTable('domains')
    .set({ ...metadataColumns(mergeMetadata(domain, metadata)), updated_at: now })
    .where('guid', '=', domain.guid)
    .execute();
}

export async function shareDomain(db: Db, domainGuid: string, organizationGuids: readonly string[]): Promise<void> {
  if (organizationGuids.length === 0) return;
  await db
    .insertInto('domain_shared_organizations')
    .values(organizationGuids.map((organization_guid) => ({ domain_guid: domainGuid, organization_guid })))
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

/** The default shared domain is there from the first start. */
export async function seedDefaultDomain(db: Db, name: string): Promise<void> {
  await db
    .insertInto('domains')
    .values({
      guid: crypto.randomUUID(),
      name: name.toLowerCase(),
      internal: false,
      organization_guid: null,
      ...newMetadata(undefined),
    })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}
