import { type InsertObject, type Selectable, sql, type UpdateObject } from 'kysely';
import {
  type Database,
  type Db,
  type Locked,
  now,
  type ResourceColumns,
  readLocked,
  type Trx,
  type WithDefault,
} from '../database.ts';
import { CfError, isUniqueViolation, notFound } from '../errors.ts';
import type { Guid } from '../guid.ts';
import type { Lifecycle } from '../lifecycle.ts';
import { readAll, SMALL_ROWS_AT_ONCE } from '../list.ts';

declare module '../database.ts' {
  interface Database {
    apps: AppTable;
  }
}

export interface AppTable extends ResourceColumns<Guid<'app'>> {
  name: string;
  space_guid: Guid<'space'>;
  state: 'STOPPED' | 'STARTED';
  lifecycle: WithDefault<Lifecycle>;
  /** Buildpack names; empty: detect. */
  buildpacks: string[];
  /** For an image: where cells prepare it. */
  stack: string;
  /** The environment variables, sealed under the app's guid. */
  env_key_label: string | null;
  env_data: Buffer | null;
  droplet_guid: Guid<'droplet'> | null;
  ssh_enabled: WithDefault<boolean>;
  revisions_enabled: WithDefault<boolean>;
  /** Whether an old and a new version may serve beside each other while the app is restarted. */
  rolling_restarts_enabled: WithDefault<boolean>;
}

/** An app with the names of where it lies. Its variables, which may weigh more than all the rest, are read where they are meant. */
export interface App extends Omit<Selectable<AppTable>, 'env_key_label' | 'env_data'> {
  space_name: string;
  organization_guid: Guid<'organization'>;
  organization_name: string;
  organization_suspended: boolean;
}

export type AppWithVariables = App & Pick<Selectable<AppTable>, 'env_key_label' | 'env_data'>;

/** An app but for its variables, which nobody sees who does not ask for them. */
const COLUMNS = [
  'apps.id',
  'apps.guid',
  'apps.created_at',
  'apps.updated_at',
  'apps.labels',
  'apps.annotations',
  'apps.name',
  'apps.space_guid',
  'apps.state',
  'apps.lifecycle',
  'apps.buildpacks',
  'apps.stack',
  'apps.droplet_guid',
  'apps.ssh_enabled',
  'apps.revisions_enabled',
  'apps.rolling_restarts_enabled',
] as const;

export function selectApps(db: Db) {
  return db
    .selectFrom('apps')
    .innerJoin('spaces', 'spaces.guid', 'apps.space_guid')
    .innerJoin('organizations', 'organizations.guid', 'spaces.organization_guid')
    .select(COLUMNS)
    .select([
      'spaces.name as space_name',
      'organizations.guid as organization_guid',
      'organizations.name as organization_name',
      'organizations.suspended as organization_suspended',
    ]);
}

export async function findApp(db: Db, guid: Guid<'app'>): Promise<App | null> {
  return (await selectApps(db).where('apps.guid', '=', guid).executeTakeFirst()) ?? null;
}

/** The same with its variables as they lie, sealed. */
export async function findAppWithVariables(db: Db, guid: Guid<'app'>): Promise<AppWithVariables | null> {
  const select = selectApps(db).select(['apps.env_key_label', 'apps.env_data']);
  return (await select.where('apps.guid', '=', guid).executeTakeFirst()) ?? null;
}

/** The apps of these names in a space, by their names in lower case: no two differ in nothing else. */
export async function findAppsByName(
  db: Db,
  spaceGuid: Guid<'space'>,
  names: readonly string[],
): Promise<ReadonlyMap<string, App>> {
  const wanted = [...new Set(names.map((name) => name.toLowerCase()))];
  if (wanted.length === 0) return new Map();
  const select = selectApps(db)
    .where('apps.space_guid', '=', spaceGuid)
    .where(sql<string>`lower(apps.name)`, 'in', wanted);
  return new Map((await readAll(select)).map((app) => [app.name.toLowerCase(), app]));
}

/** The space of each app that exists; in a transaction they stay until it ends: no key of a table holds a destination to its app. */
export async function spacesOfApps(
  trx: Trx,
  guids: readonly Guid<'app'>[],
): Promise<ReadonlyMap<Guid<'app'>, Guid<'space'>>> {
  if (guids.length === 0) return new Map();
  const rows = await trx
    .selectFrom('apps')
    .select(['guid', 'space_guid'])
    .where('guid', 'in', guids)
    .orderBy('guid')
    .forKeyShare()
    .execute();
  return new Map(rows.map((row) => [row.guid, row.space_guid]));
}

/** Takes the row lock every change of an app's state waits for. Throws "App not found" where it went away. */
export async function lockApp(trx: Trx, guid: Guid<'app'>): Promise<Locked<App>> {
  return readLocked(trx, 'apps', guid, notFound('App'), () => findApp(trx, guid));
}

/** The same where it may have gone. */
export async function lockAppIfThere(trx: Trx, guid: Guid<'app'>): Promise<App | null> {
  await trx.selectFrom('apps').select('guid').where('guid', '=', guid).forUpdate().execute();
  return findApp(trx, guid);
}

export async function appsOfSpace(db: Db, spaceGuid: Guid<'space'>): Promise<Guid<'app'>[]> {
  const rows = await db.selectFrom('apps').select('guid').where('space_guid', '=', spaceGuid).execute();
  return rows.map(({ guid }) => guid);
}

/** The apps in those of these that are spaces or organizations. */
export async function appsAmong(db: Db, guids: readonly string[]): Promise<Guid<'app'>[]> {
  const { rows } = await sql<{ guid: Guid<'app'> }>`
    SELECT guid FROM apps WHERE space_guid = ANY(${guids}) UNION ALL
    SELECT apps.guid FROM apps JOIN spaces ON spaces.guid = apps.space_guid WHERE spaces.organization_guid = ANY(${guids})`.execute(
    db,
  );
  return rows.map(({ guid }) => guid);
}

/** Hosts with paths of the routes that lead to an app. */
export async function urisOfApp(db: Db, guid: Guid<'app'>): Promise<string[]> {
  const select = db
    .selectFrom('routes')
    .innerJoin('domains', 'domains.guid', 'routes.domain_guid')
    .select(sql<string>`concat(nullif(routes.host, '') || '.', domains.name, routes.path)`.as('uri'))
    .where(sql<boolean>`routes.guid IN (SELECT route_guid FROM route_destinations WHERE app_guid = ${guid})`)
    .orderBy('routes.id');
  return (await readAll(select, SMALL_ROWS_AT_ONCE)).map(({ uri }) => uri);
}

/** Whose environment or instance something is, as other components are told. */
export interface AppIdentity {
  appGuid: string;
  appName: string;
  spaceGuid: string;
  spaceName: string;
  organizationGuid: string;
  organizationName: string;
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

/** Throws UniquenessError where the space has one of this name. */
export async function insertApp(trx: Trx, values: InsertObject<Database, 'apps'> & { name: string }): Promise<void> {
  const insert = trx.insertInto('apps').values(values).execute();
  await insert.catch((error: unknown) => {
    throw nameTaken(error, values.name);
  });
}

/** Writes these columns. Throws UniquenessError where the space has another app of this name. */
export async function writeApp(
  trx: Trx,
  guid: Guid<'app'>,
  changes: Omit<UpdateObject<Database, 'apps'>, 'name'> & { name?: string | undefined },
): Promise<void> {
  const update = trx
    .updateTable('apps')
    .set({ ...changes, updated_at: now })
    .where('guid', '=', guid)
    .execute();
  await update.catch((error: unknown) => {
    throw nameTaken(error, changes.name ?? '');
  });
}

export async function removeApp(trx: Trx, guid: Guid<'app'>): Promise<void> {
  await trx.deleteFrom('apps').where('guid', '=', guid).execute();
}

/** The CLI recognises a taken name by this sentence. */
function nameTaken(error: unknown, name: string): unknown {
  if (!isUniqueViolation(error, 'apps_name')) return error;
  return new CfError('UniquenessError', `App with the name '${name}' already exists.`);
}
