import { Type } from 'typebox';
import { recordEvent } from '../audit-events/store.ts';
import { rolesAt } from '../authorization.ts';
import type { Context } from '../context.ts';
import { isUniqueViolation, notFound, unprocessable } from '../errors.ts';
import { requireFeature } from '../feature-flags/store.ts';
import type { Job } from '../jobs/store.ts';
import { listView } from '../list.ts';
import { MetadataInput } from '../metadata.ts';
import { type Call, created, noContent, ok, operation } from '../operation.ts';
import { authorizedOrganization } from '../organizations/operations.ts';
import { findOrganization } from '../organizations/store.ts';
import { guidsOf, ToMany, ToOne, toManyView } from '../relationships.ts';
import { deleteRoutes } from '../routes/delete.ts';
import { authorizedDomain, checkShareable, organizationFilter } from './access.ts';
import { checkDomainFormat, checkPrivateDomainName } from './names.ts';
import {
  type Domain,
  defaultDomain,
  domainQuery,
  findDomain,
  insertDomain,
  listDomains,
  listDomainsOfOrganization,
  shareDomain,
  updateDomain,
} from './store.ts';
import { domainView } from './view.ts';

const CreateDomain = Type.Object(
  {
    name: Type.String({ minLength: 3, maxLength: 253 }),
    internal: Type.Optional(Type.Boolean()),
    relationships: Type.Optional(
      Type.Object(
        { organization: Type.Optional(ToOne), shared_organizations: Type.Optional(ToMany) },
        { additionalProperties: false },
      ),
    ),
    metadata: Type.Optional(MetadataInput),
  },
  { additionalProperties: false },
);
const UpdateDomain = Type.Object({ metadata: Type.Optional(MetadataInput) }, { additionalProperties: false });

export const domainOperations = [
  operation({
    id: 'GET /v3/domains',
    query: domainQuery,
    async run(call) {
      const { db, links } = call.context;
      const found = await listDomains(db, call.query, call.visibleOrganizations());
      const visible = await organizationFilter(db, call.caller);
      return ok(listView(links, '/v3/domains', call.query, found, (row) => domainView(links, row, visible)));
    },
  }),

  operation({
    id: 'GET /v3/organizations/:guid/domains',
    query: domainQuery,
    async run(call) {
      const { db, links } = call.context;
      const organization = await authorizedOrganization(call, call.params.guid);
      const withPrivate = await seesPrivateDomains(call, organization);
      const found = await listDomainsOfOrganization(db, call.query, organization.guid, withPrivate);
      const visible = await organizationFilter(db, call.caller);
      const path = `/v3/organizations/${organization.guid}/domains`;
      return ok(listView(links, path, call.query, found, (row) => domainView(links, row, visible)));
    },
  }),

  operation({
    id: 'GET /v3/organizations/:guid/domains/default',
    async run(call) {
      const { db, links } = call.context;
      const organization = await authorizedOrganization(call, call.params.guid);
      const domain = await defaultDomain(db, organization.guid);
      if (!domain) throw notFound('Domain');
      if (domain.organization_guid !== null && !(await seesPrivateDomains(call, organization)))
        throw notFound('Domain');
      return ok(domainView(links, domain, await organizationFilter(db, call.caller)));
    },
  }),

  operation({
    id: 'POST /v3/domains',
    body: CreateDomain,
    async run(call) {
      const { name, internal = false, relationships, metadata } = call.body;
      checkDomainFormat(name);
      const owner = await authorizedOwner(call, relationships?.organization?.data.guid, relationships !== undefined);
      const shared = guidsOf(relationships?.shared_organizations ?? { data: [] });
      if (owner === null && shared.length > 0) {
        throw unprocessable('Relationships cannot contain shared_organizations without an owning organization.');
      }
      if (owner !== null && internal) throw unprocessable('Cannot associate an internal domain with an organization');
      const { db, settings, links } = call.context;
      await checkShareable(db, call.caller, shared, owner);
      if (owner !== null) await checkPrivateDomainName(db, settings, name, owner);
      try {
        const guid = await db.transaction().execute(async (trx) => {
          const made = await insertDomain(trx, { name, internal, organizationGuid: owner, metadata });
          await shareDomain(trx, made, shared);
          if (owner !== null) await checkDomainQuota(trx, owner);
          await recordEvent(
            trx,
            domainEvent(call, 'create', { guid: made, name, organization_guid: owner }, call.body),
          );
          return made;
        });
        const domain = await findDomain(db, guid);
        if (!domain) throw notFound('Domain');
        return created(domainView(links, domain, await organizationFilter(db, call.caller)));
      } catch (error) {
        throw isUniqueViolation(error, 'domains_name_key')
          ? unprocessable(`The domain name "${name}" is already in use`)
          : error;
      }
    },
  }),

  operation({
    id: 'GET /v3/domains/:guid',
    async run(call) {
      const { db, links } = call.context;
      const domain = await authorizedDomain(call, call.params.guid);
      return ok(domainView(links, domain, await organizationFilter(db, call.caller)));
    },
  }),

  operation({
    id: 'PATCH /v3/domains/:guid',
    body: UpdateDomain,
    async run(call) {
      const { db, links } = call.context;
      const domain = await authorizedDomain(call, call.params.guid);
      await db.transaction().execute(async (trx) => {
        await updateDomain(trx, domain, call.body.metadata);
        await recordEvent(trx, domainEvent(call, 'update', domain, call.body));
      });
      const updated = await findDomain(db, domain.guid);
      if (!updated) throw notFound('Domain');
      return ok(domainView(links, updated, await organizationFilter(db, call.caller)));
    },
  }),

  operation({
    id: 'DELETE /v3/domains/:guid',
    async run(call) {
      const domain = await authorizedDomain(call, call.params.guid);
      if (domain.shared_organization_guids.length > 0) {
        throw unprocessable('This domain is shared with other organizations. Unshare before deleting.');
      }
      if (domain.name === call.context.settings.domain.toLowerCase()) {
        throw unprocessable(`The domain '${domain.name}' cannot be deleted. It is reserved by the platform.`);
      }
      const resource = { type: 'domain', guid: domain.guid };
      return call.accepted(
        await call.context.jobs.enqueue({ operation: 'domain.delete', actor: call.actor, resource }),
      );
    },
  }),

  operation({
    id: 'GET /v3/domains/:guid/route_reservations',
    query: { values: ['host', 'path', 'port'] },
    async run(call) {
      const domain = await authorizedDomain(call, call.params.guid);
      const { values } = call.query;
      const found = await call.context.db
        .selectFrom('routes')
        .select('guid')
        .where('domain_guid', '=', domain.guid)
        .where('host', '=', (values.get('host') ?? '').toLowerCase())
        .where('path', '=', values.get('path') ?? '')
        .executeTakeFirst();
      return ok({ matching_route: found !== undefined });
    },
  }),

  operation({
    id: 'GET /v3/domains/:guid/relationships/shared_organizations',
    async run(call) {
      const { db, links } = call.context;
      const domain = await authorizedDomain(call, call.params.guid);
      const visible = await organizationFilter(db, call.caller);
      return ok(toManyView(links, sharedPath(domain), domain.shared_organization_guids.filter(visible)));
    },
  }),

  operation({
    id: 'POST /v3/domains/:guid/relationships/shared_organizations',
    body: ToMany,
    async run(call) {
      const { db, links } = call.context;
      const domain = await authorizedDomain(call, call.params.guid);
      if (domain.organization_guid === null) {
        throw unprocessable(
          'Domains cannot be shared with other organizations unless they are scoped to an organization.',
        );
      }
      await checkShareable(db, call.caller, guidsOf(call.body), domain.organization_guid);
      await db.transaction().execute(async (trx) => {
        await shareDomain(trx, domain.guid, guidsOf(call.body));
        await recordEvent(trx, domainEvent(call, 'share', domain, call.body));
      });
      const updated = await findDomain(db, domain.guid);
      const visible = await organizationFilter(db, call.caller);
      return ok(toManyView(links, sharedPath(domain), (updated?.shared_organization_guids ?? []).filter(visible)));
    },
  }),

  operation({
    id: 'DELETE /v3/domains/:guid/relationships/shared_organizations/:org_guid',
    async run(call) {
      const { db } = call.context;
      const { domain, organization } = await authorizedSharing(call);
      if (!domain.shared_organization_guids.includes(organization.guid)) {
        throw unprocessable(
          `Unable to unshare domain from organization with name '${organization.name}'. Ensure the domain is shared to this organization.`,
        );
      }
      const used = await db
        .selectFrom('routes')
        .innerJoin('spaces', 'spaces.guid', 'routes.space_guid')
        .select('routes.guid')
        .where('routes.domain_guid', '=', domain.guid)
        .where('spaces.organization_guid', '=', organization.guid)
        .executeTakeFirst();
      if (used) {
        throw unprocessable(
          'This domain has associated routes in this organization. Delete the routes before unsharing.',
        );
      }
      await db.transaction().execute(async (trx) => {
        await trx
          .deleteFrom('domain_shared_organizations')
          .where('domain_guid', '=', domain.guid)
          .where('organization_guid', '=', organization.guid)
          .execute();
        await recordEvent(trx, domainEvent(call, 'unshare', domain, { organization_guid: organization.guid }));
      });
      return noContent();
    },
  }),
];

/** Job "domain.delete": with the routes on it. */
export async function deleteDomainJob(context: Context, job: Job): Promise<undefined> {
  const domain = await findDomain(context.db, job.resourceGuid ?? '');
  if (!domain) return;
  await deleteRoutes(context, { domainGuid: domain.guid }, job.actor);
  await context.db.transaction().execute(async (trx) => {
    await recordEvent(trx, domainEvent({ actor: job.actor }, 'delete-request', domain, {}));
    await trx.deleteFrom('domains').where('guid', '=', domain.guid).execute();
  });
}

const sharedPath = (domain: Domain): string => `/v3/domains/${domain.guid}/relationships/shared_organizations`;

/** Members without a role that reads domains see only the shared ones. */
async function seesPrivateDomains(
  call: Call<'GET /v3/organizations/:guid/domains' | 'GET /v3/organizations/:guid/domains/default', unknown>,
  organization: { guid: string; suspended: boolean },
): Promise<boolean> {
  const held = await rolesAt(call.context.db, call.caller, { organization });
  return [...held].some((role) => role !== 'organization_user' && role !== 'organization_billing_manager');
}

/** The owner of a new domain; null for a shared one, which only the admin makes. */
async function authorizedOwner(
  call: Call<'POST /v3/domains', unknown>,
  guid: string | undefined,
  scoped: boolean,
): Promise<string | null> {
  const { db } = call.context;
  if (!scoped || guid === undefined) {
    call.requireAdmin();
    return null;
  }
  const invisible = unprocessable(`Organization with guid '${guid}' does not exist or you do not have access to it.`);
  const organization = await findOrganization(db, guid);
  if (!organization) throw invisible;
  await call.authorize({ organization }, invisible);
  if (!call.isAdmin) await requireFeature(db, 'private_domain_creation');
  return guid;
}

/** Both the owner's manager and the one it is shared to may end the sharing. */
async function authorizedSharing(
  call: Call<'DELETE /v3/domains/:guid/relationships/shared_organizations/:org_guid', unknown>,
) {
  const { db } = call.context;
  const invisible = unprocessable(
    `Organization with guid '${call.params.org_guid}' does not exist or you do not have access to it.`,
  );
  const organization = await findOrganization(db, call.params.org_guid);
  const domain = await findDomain(db, call.params.guid);
  if (!domain) throw notFound('Domain');
  if (organization && domain.shared_organization_guids.includes(organization.guid)) {
    const held = await rolesAt(db, call.caller, { organization });
    if (held.has('organization_manager')) {
      await call.authorize({ organization }, invisible);
      return { domain, organization };
    }
  }
  await authorizedDomain(call, domain.guid);
  if (!organization) throw invisible;
  return { domain, organization };
}

async function checkDomainQuota(db: Context['db'], organizationGuid: string): Promise<void> {
  const row = await db
    .selectFrom('organizations')
    .innerJoin('organization_quotas', 'organization_quotas.guid', 'organizations.quota_guid')
    .select(['organizations.name', 'organization_quotas.total_domains'])
    .where('organizations.guid', '=', organizationGuid)
    .executeTakeFirst();
  if (!row || row.total_domains === null) return;
  const owned = await db
    .selectFrom('domains')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .where('organization_guid', '=', organizationGuid)
    .executeTakeFirstOrThrow();
  if (owned.count > row.total_domains) {
    throw unprocessable(`The number of private domains exceeds the quota for organization "${row.name}"`);
  }
}

function domainEvent(
  call: { actor: Job['actor'] },
  verb: string,
  domain: { guid: string; name: string; organization_guid: string | null },
  request: object,
) {
  return {
    type: `audit.domain.${verb}`,
    actor: call.actor,
    target: { guid: domain.guid, type: 'domain', name: domain.name },
    organizationGuid: domain.organization_guid,
    data: { request: { ...request } },
  };
}
