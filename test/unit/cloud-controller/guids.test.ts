import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Selectable } from 'kysely';
import type { Static } from 'typebox';
import { type App, findApp } from '../../../src/cloud-controller/apps/store.ts';
import type { BuildRow } from '../../../src/cloud-controller/builds/store.ts';
import type { Database, Db, Trx } from '../../../src/cloud-controller/database.ts';
import type { Domain } from '../../../src/cloud-controller/domains/store.ts';
import { findDroplet } from '../../../src/cloud-controller/droplets/store.ts';
import { type Guid, guid, newGuid } from '../../../src/cloud-controller/guid.ts';
import { findOrganizationQuota } from '../../../src/cloud-controller/organization-quotas/store.ts';
import type { Organization } from '../../../src/cloud-controller/organizations/store.ts';
import { guidsOf, type ToMany } from '../../../src/cloud-controller/relationships.ts';
import { insertRoute, type Route } from '../../../src/cloud-controller/routes/store.ts';
import type { Space } from '../../../src/cloud-controller/spaces/store.ts';
import { subject } from '../../../src/cloud-controller/subject.ts';

interface Rows {
  app: App;
  space: Space;
  organization: Organization;
  route: Route;
  domain: Domain;
  build: BuildRow;
}

/** Never run: the compiler holds each line, and fails where one that it is to refuse passes. */
function refused(trx: Trx, rows: Rows, text: string) {
  const { app, space, organization, route, domain, build } = rows;
  const at = { host: '', path: '', options: {} };
  return [
    () => insertRoute(trx, { ...at, spaceGuid: space.guid, domainGuid: domain.guid }),
    // @ts-expect-error a domain is no space
    () => insertRoute(trx, { ...at, spaceGuid: domain.guid, domainGuid: domain.guid }),
    // @ts-expect-error a route's space is no domain
    () => insertRoute(trx, { ...at, spaceGuid: space.guid, domainGuid: route.space_guid }),
    // @ts-expect-error nobody said what this text is a guid of
    () => findApp(trx, text),
    // @ts-expect-error a kind that was not named is no kind
    () => findApp(trx, guid(text)),
    // @ts-expect-error a space is no app
    () => findApp(trx, app.space_guid),
    // @ts-expect-error an app is no space
    () => trx.selectFrom('apps').where('space_guid', '=', app.guid),
    // @ts-expect-error a space is no organization
    () => trx.updateTable('spaces').set({ organization_guid: space.guid }),
    // @ts-expect-error a route's own guid is not that of its domain
    () => trx.updateTable('routes').set({ domain_guid: route.guid }),
    // @ts-expect-error a domain belongs to an organization
    () => trx.updateTable('domains').set({ organization_guid: domain.guid }),
    // @ts-expect-error an organization is no app
    () => trx.selectFrom('packages').where('app_guid', '=', organization.guid),
    () => findDroplet(trx, build.droplet_guid),
    // @ts-expect-error a package is no droplet
    () => findDroplet(trx, build.package_guid),
    // @ts-expect-error a build is no droplet
    () => trx.updateTable('apps').set({ droplet_guid: build.guid }),
    // @ts-expect-error the quota of an organization is none of a space
    () => trx.updateTable('spaces').set({ space_quota_guid: organization.quota_guid }),
    // @ts-expect-error a segment is no quota
    () => findOrganizationQuota(trx, organization.default_isolation_segment_guid!),
  ];
}

/** The same of what bodies name, and of what a path does. */
function edges(db: Db, body: Static<ReturnType<typeof ToMany<'space'>>>) {
  const spaces: Guid<'space'>[] = guidsOf(body);
  // @ts-expect-error the body names spaces
  const organizations: Guid<'organization'>[] = guidsOf(body);
  const app = subject('App', {
    find: (_db, own: Guid<'app'>) => findApp(db, own),
    place: (row) => ({ organization: { guid: row.organization_guid, suspended: false } }),
  });
  return { spaces, organizations, app };
}

test('a guid of one kind does not stand in for that of another', () => {
  for (const held of [refused, edges]) assert.equal(typeof held, 'function');
});

test('a guid is its text, and what it is of is known to the compiler alone', () => {
  const text = newGuid<'app'>();
  assert.equal(typeof text, 'string');
  assert.equal(guid<'app'>(text), text);
  const columns: Pick<Selectable<Database['apps']>, 'guid'> = { guid: text };
  assert.equal(JSON.stringify(columns), `{"guid":"${text}"}`);
});
