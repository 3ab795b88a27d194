import { Type } from 'typebox';
import { recordEvent } from '../audit-events/store.ts';
import { lockRow } from '../database.ts';
import { notFound, unprocessable } from '../errors.ts';
import { created, noContent, ok, operation } from '../operation.ts';
import { organization } from '../organizations/subject.ts';
import { organizationFilter } from '../organizations/visibility.ts';
import { guidsOf, RelationshipToMany, ToMany, toManyView } from '../relationships.ts';
import { deletes, lists, shown, shows, UpdateMetadata } from '../standard.ts';
import { perhapsInBody } from '../subject.ts';
import { createDomain } from './create.ts';
import { domainEvent } from './events.ts';
import { checkNotShared } from './jobs.ts';
import { lockDomainNames } from './names.ts';
import { CreateDomain } from './schema.ts';
import { checkShareable, sharing } from './sharing.ts';
import {
  defaultDomain,
  findDomain,
  hasRoutesOf,
  isReserved,
  SHARED_BY_ALL,
  shareDomain,
  unshareDomain,
  updateDomain,
  usableBy,
} from './store.ts';
import { domain, domains } from './subject.ts';
import { DomainView } from './view.ts';

const noOrganization = (guid: string) =>
  unprocessable(`Organization with guid '${guid}' does not exist or you do not have access to it.`);

export const domainOperations = [
  operation('GET /v3/domains', lists(domains)),

  operation(
    'GET /v3/organizations/:guid/domains',
    lists(domains, {
      on: organization,
      inside: ({ guid }, reader) => (reader.sees('organization.private_domains') ? usableBy(guid) : SHARED_BY_ALL),
    }),
  ),

  operation('GET /v3/organizations/:guid/domains/default', {
    on: organization,
    answers: { 200: DomainView },
    async run(call) {
      const found = await defaultDomain(call.context.db, call.subject.guid);
      if (!found) throw notFound('Domain');
      if (found.organization_guid !== null && !call.reader.sees('organization.private_domains'))
        throw notFound('Domain');
      return ok(await shown(call, domains, found));
    },
  }),

  operation('POST /v3/domains', {
    on: { owner: perhapsInBody('relationships.organization', organization, noOrganization) },
    mayNameNothing: true, // a shared domain, which `sets` leaves to the admin
    body: CreateDomain,
    answers: { 201: DomainView },
    sets: ({ subject }) => (subject.owner === null ? ['domain.shared'] : []),
    async run(call) {
      const made = await createDomain(call.context, call.subject.owner?.guid ?? null, call.body, call.caller);
      return created(await shown(call, domains, made));
    },
  }),

  operation('GET /v3/domains/:guid', shows(domain, domains)),

  operation('PATCH /v3/domains/:guid', {
    on: domain,
    body: UpdateMetadata,
    answers: { 200: DomainView },
    async run(call) {
      const { body, subject } = call;
      const updated = await call.context.db.transaction().execute(async (trx) => {
        await updateDomain(trx, subject.guid, body.metadata);
        await recordEvent(trx, domainEvent('audit.domain.update', call.actor, subject, { request: body }));
        return findDomain(trx, subject.guid);
      });
      if (!updated) throw notFound('Domain');
      return ok(await shown(call, domains, updated));
    },
  }),

  operation(
    'DELETE /v3/domains/:guid',
    deletes(domain, 'domain', ({ context, subject }) => {
      checkNotShared(subject);
      if (subject.name !== context.settings.domain.toLowerCase()) return;
      throw unprocessable(`The domain '${subject.name}' cannot be deleted. It is reserved by the platform.`);
    }),
  ),

  operation('GET /v3/domains/:guid/route_reservations', {
    on: domain,
    query: { values: ['host', 'path', 'port'], meaningless: ['page', 'per_page'] },
    answers: { 200: Type.Object({ matching_route: Type.Boolean() }) },
    async run({ context, query, subject }) {
      const { values } = query;
      const address = { host: values.get('host') ?? '', path: values.get('path') ?? '', port: values.get('port') };
      return ok({ matching_route: await isReserved(context.db, subject.guid, address) });
    },
  }),

  operation('GET /v3/domains/:guid/relationships/shared_organizations', {
    on: domain,
    answers: { 200: RelationshipToMany },
    async run({ context, caller, path, subject }) {
      const visible = await organizationFilter(context.db, caller);
      return ok(toManyView(context.links, path, subject.shared_organization_guids.filter(visible)));
    },
  }),

  operation('POST /v3/domains/:guid/relationships/shared_organizations', {
    on: domain,
    body: ToMany<'organization'>(),
    answers: { 200: RelationshipToMany },
    async run(call) {
      const { body, caller, context, path, subject } = call;
      const { db, links } = context;
      if (subject.organization_guid === null) {
        throw unprocessable(
          'Domains cannot be shared with other organizations unless they are scoped to an organization.',
        );
      }
      await checkShareable(db, caller, guidsOf(body), subject.organization_guid);
      const updated = await db.transaction().execute(async (trx) => {
        // It is there until this is committed, and shared when somebody deletes it after that.
        await lockRow(trx, 'domains', subject.guid, notFound('Domain'));
        const shared = await shareDomain(trx, subject.guid, guidsOf(body));
        if (shared > 0)
          await recordEvent(trx, domainEvent('audit.domain.share', call.actor, subject, { request: body }));
        return findDomain(trx, subject.guid);
      });
      const visible = await organizationFilter(db, caller);
      return ok(toManyView(links, path, (updated?.shared_organization_guids ?? []).filter(visible)));
    },
  }),

  operation('DELETE /v3/domains/:guid/relationships/shared_organizations/:org_guid', {
    on: sharing,
    answers: { 204: null },
    async run(call) {
      const { context, params, subject } = call;
      const { organization, isShared, isSeen } = subject;
      if (!organization) throw noOrganization(params.org_guid);
      // Its name only where they see it.
      const notShared = isSeen ? isNotShared(organization.name) : noOrganization(params.org_guid);
      if (!isShared) throw notShared;
      await context.db.transaction().execute(async (trx) => {
        await lockDomainNames(trx);
        if (await hasRoutesOf(trx, subject.domain.guid, organization.guid)) {
          throw unprocessable(
            'This domain has associated routes in this organization. Delete the routes before unsharing.',
          );
        }
        if (!(await unshareDomain(trx, subject.domain.guid, organization.guid))) throw notShared;
        await recordEvent(
          trx,
          domainEvent('audit.domain.unshare', call.actor, subject.domain, {
            request: { organization_guid: organization.guid },
          }),
        );
      });
      return noContent();
    },
  }),
];

function isNotShared(name: string) {
  return unprocessable(
    `Unable to unshare domain from organization with name '${name}'. Ensure the domain is shared to this organization.`,
  );
}
