import { type RawBuilder, type Selectable, sql } from 'kysely';
import { routePathKey } from '../../contracts/route-grammar.ts';
import type { Db, RowColumns, Trx } from '../database.ts';
import { notFound } from '../errors.ts';
import { type Guid, newGuid } from '../guid.ts';
import { changeMetadata, type MetadataColumns, type MetadataInput, newMetadata } from '../metadata.ts';

declare module '../database.ts' {
  interface Database {
    domains: DomainTable;
    domain_shared_organizations: DomainSharedOrganizationTable;
  }
}

export interface DomainTable extends RowColumns<Guid<'domain'>>, MetadataColumns {
  /** Lower case. */
  name: string;
  internal: boolean;
  /** Null: shared by all organizations. */
  organization_guid: Guid<'organization'> | null;
}
export interface DomainSharedOrganizationTable {
  domain_guid: Guid<'domain'>;
  organization_guid: Guid<'organization'>;
}

/** A domain with the organizations it is shared to, and what is needed of its own to decide who may do what to it. */
export interface Domain extends Selectable<DomainTable> {
  organization_suspended: boolean | null;
  shared_organization_guids: Guid<'organization'>[];
}

export function selectDomains(db: Db) {
  return db
    .selectFrom('domains')
    .leftJoin('organizations', 'organizations.guid', 'domains.organization_guid')
    .selectAll('domains')
    .select([
      'organizations.suspended as organization_suspended',
      sql<Guid<'organization'>[]>`ARRAY(SELECT organization_guid FROM domain_shared_organizations AS shared
        WHERE shared.domain_guid = domains.guid ORDER BY organization_guid)`.as('shared_organization_guids'),
    ]);
}

export async function findDomain(db: Db, guid: Guid<'domain'>): Promise<Domain | null> {
  return (await selectDomains(db).where('domains.guid', '=', guid).executeTakeFirst()) ?? null;
}

export async function findDomainByName(db: Db, name: string): Promise<Domain | null> {
  return (await selectDomains(db).where('domains.name', '=', name.toLowerCase()).executeTakeFirst()) ?? null;
}

/** The condition of domains that these organizations may use: shared ones, their own and those shared to them. */
export function usableIn(organizations: RawBuilder<string>): RawBuilder<boolean> {
  return sql<boolean>`(domains.organization_guid IS NULL OR domains.organization_guid IN ${organizations} OR domains.guid IN
    (SELECT domain_guid FROM domain_shared_organizations WHERE organization_guid IN ${organizations}))`;
}

/** Those that this organization may use. */
export function usableBy(organizationGuid: Guid<'organization'>): RawBuilder<boolean> {
  return usableIn(sql`(SELECT ${organizationGuid})`);
}

/** Those that belong to no organization. */
export const SHARED_BY_ALL: RawBuilder<boolean> = sql<boolean>`domains.organization_guid IS NULL`;

/** The first shared domain for apps; else the organization's first own. */
export async function defaultDomain(db: Db, organizationGuid: Guid<'organization'>): Promise<Domain | null> {
  const row = await selectDomains(db)
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

export function isUsableBy(domain: Domain, organizationGuid: Guid<'organization'>): boolean {
  const owner = domain.organization_guid;
  return owner === null || owner === organizationGuid || domain.shared_organization_guids.includes(organizationGuid);
}

/** Gives the guid. Throws the unique violation `domains_name_key`. */
export async function insertDomain(
  trx: Trx,
  values: {
    name: string;
    internal: boolean;
    organizationGuid: Guid<'organization'> | null;
    metadata: MetadataInput | undefined;
  },
): Promise<Guid<'domain'>> {
  const guid = newGuid<'domain'>();
  await trx
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

export async function updateDomain(trx: Trx, guid: Guid<'domain'>, metadata: MetadataInput | undefined): Promise<void> {
  await changeMetadata(trx, 'domains', guid, metadata, notFound('Domain'));
}

/** Gives how many of the organizations it was not shared to before. */
export async function shareDomain(
  trx: Trx,
  domainGuid: Guid<'domain'>,
  organizationGuids: readonly Guid<'organization'>[],
): Promise<number> {
  if (organizationGuids.length === 0) return 0;
  const shared = await trx
    .insertInto('domain_shared_organizations')
    .values(organizationGuids.map((organization_guid) => ({ domain_guid: domainGuid, organization_guid })))
    .onConflict((conflict) => conflict.doNothing())
    .returning('organization_guid')
    .execute();
  return shared.length;
}

/** Ends the sharing; false where it was not shared to the organization. */
export async function unshareDomain(
  trx: Trx,
  domainGuid: Guid<'domain'>,
  organizationGuid: Guid<'organization'>,
): Promise<boolean> {
  const ended = await trx
    .deleteFrom('domain_shared_organizations')
    .where('domain_guid', '=', domainGuid)
    .where('organization_guid', '=', organizationGuid)
    .returning('domain_guid')
    .executeTakeFirst();
  return ended !== undefined;
}

/** Has a space of this organization a route on the domain? */
export async function hasRoutesOf(
  db: Db,
  domainGuid: Guid<'domain'>,
  organizationGuid: Guid<'organization'>,
): Promise<boolean> {
  const route = await db
    .selectFrom('routes')
    .innerJoin('spaces', 'spaces.guid', 'routes.space_guid')
    .select('routes.guid')
    .where('routes.domain_guid', '=', domainGuid)
    .where('spaces.organization_guid', '=', organizationGuid)
    .executeTakeFirst();
  return route !== undefined;
}

/** The path of a route as `routePathKey` gives it. */
export const ROUTE_PATH_KEY: RawBuilder<string> = sql<string>`lower(regexp_replace(routes.path, '/$', ''))`;

/** Is there a route of this host and path, and of this port where one is given? Where there is, none can be made. */
export async function isReserved(
  db: Db,
  domainGuid: Guid<'domain'>,
  { host, path, port }: { host: string; path: string; port: string | undefined },
): Promise<boolean> {
  let select = db
    .selectFrom('routes')
    .select('guid')
    .where('domain_guid', '=', domainGuid)
    .where('host', '=', host.toLowerCase())
    .where(ROUTE_PATH_KEY, '=', routePathKey(path));
  if (port !== undefined) select = select.where(sql<boolean>`routes.port::text = ${port}`);
  return (await select.executeTakeFirst()) !== undefined;
}

/** The default shared domain is there from the first start. */
export async function seedDefaultDomain(db: Db, name: string): Promise<void> {
  await db
    .insertInto('domains')
    .values({
      guid: newGuid<'domain'>(),
      name: name.toLowerCase(),
      internal: false,
      organization_guid: null,
      ...newMetadata(undefined),
    })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}
