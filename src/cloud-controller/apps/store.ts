import { type Selectable, sql } from 'kysely';
import type { Place, Visible } from '../authorization.ts';
import { type Db, now } from '../database.ts';
import type { AppIdentity } from '../diego/environment.ts';
import { CfError, isUniqueViolation, notFound } from '../errors.ts';
import { narrow, type Page, page } from '../list.ts';
import type { Call } from '../operation.ts';
import type { Query, QueryRules } from '../query.ts';
import type { AppTable } from './tables.ts';

/** An app with the names of where it lies. */
export interface App extends Selectable<AppTable> {
  space_name: string;
  organization_guid: string;
  organization_name: string;
  organization_suspended: boolean;
}

export const appQuery = {
  list: true,
  labels: true,
  orderBy: ['name', 'state'],
  filters: ['names', 'space_guids', 'organization_guids', 'stacks'],
  values: ['lifecycle_type'],
  include: ['space', 'space.organization', 'org'],
} as const satisfies QueryRules;

const appsWithPlace = (db: Db) =>
  db
    .selectFrom('apps')
    .innerJoin('spaces', 'spaces.guid', 'apps.space_guid')
    .innerJoin('organizations', 'organizations.guid', 'spaces.organization_guid')
    .selectAll('apps')
    .select([
      'spaces.name as space_name',
      'organizations.guid as organization_guid',
      'organizations.name as organization_name',
      'organizations.suspended as organization_suspended',
    ]);

export async function findApp(db: Db, guid: string): Promise<App | null> {
  return (await appsWithPlace(db).where('apps.guid', '=', guid).executeTakeFirst()) ?? null;
}

export async function findAppByName(db: Db, spaceGuid: string, name: string): Promise<App | null> {
  const select = appsWithPlace(db)
    .where('apps.space_guid', '=', spaceGuid)
    .where(sql`lower(apps.name)`, '=', name.toLowerCase());
  return (await select.executeTakeFirst()) ?? null;
}

/** Takes the row lock every change of an app's state waits for. Throws "App not found" where it went away. */
export async function lockApp(trx: Db, guid: string): Promise<App> {
  await trx.selectFrom('apps').select('guid').where('guid', '=', guid).forUpdate().execute();
  const app = await findApp(trx, guid);
  if (!app) throw notFound('App');
  return app;
}

export async function listApps(db: Db, query: Query, visible: Visible): Promise<Page<App>> {
  let select = narrow(appsWithPlace(db), 'apps', query, { column: 'apps.space_guid', to: visible });
  const names = query.filters.get('names');
  if (names) select = select.where('apps.name', 'in', names);
  const spaces = query.filters.get('space_guids');
  if (spaces) select = select.where('apps.space_guid', 'in', spaces);
  const organizations = query.filters.get('organization_guids');
  if (organizations) select = select.where('spaces.organization_guid', 'in', organizations);
  const stacks = query.filters.get('stacks');
  if (stacks) select = select.where('apps.stack', 'in', stacks);
  const lifecycle = query.values.get('lifecycle_type');
  if (lifecycle) select = select.where('apps.lifecycle', '=', lifecycle as App['lifecycle']);
  return page(db, select, 'apps', query);
}

/** Where an app lies, for the permission table. */
export function placeOf(app: App): Place {
  return {
    organization: { guid: app.organization_guid, suspended: app.organization_suspended },
    space: { guid: app.space_guid },
  };
}

export function identityOf(app: App): AppIdentity {
  return {
    appGuid: app.guid,
    appName: app.name,
    spaceGuid: app.space_guid,
    spaceName: app.space_name,
    organizationGuid: app.organization_guid,
    organizationName: app.organization_name,
  };
}

/** Finds the app and asks the permission table; what a caller may not see is "… not found". */
export async function authorizeApp(
  call: Pick<Call, 'authorize' | 'context'>,
  guid: string,
  invisible: CfError = notFound('App'),
): Promise<App> {
  const app = await findApp(call.context.db, guid);
  if (!app) throw invisible;
  await call.authorize(placeOf(app), invisible);
  return app;
}

/** The CLI recognises a taken name by this sentence. */
export function appNameTaken(error: unknown, name: string): unknown {
  if (!isUniqueViolation(error, 'apps_name')) return error;
  return new CfError('UniquenessError', `App with the name '${name}' already exists.`);
}

export async function touchApp(
  trx: Db,
  guid: string,
  changes: Partial<Pick<App, 'state' | 'droplet_guid'>>,
): Promise<void> {
  await trx
    .updateTable('apps')
    .set({ ...changes, updated_at: now })
    .where('guid', '=', guid)
    .execute();
}
