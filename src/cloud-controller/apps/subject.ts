import { sql } from 'kysely';
import { placeInSpace } from '../authorization.ts';
import type { Db } from '../database.ts';
import type { Guid } from '../guid.ts';
import { inSpaces, list, oneOf, values, where } from '../listing.ts';
import { organizations } from '../organizations/subject.ts';
import { spaces } from '../spaces/subject.ts';
import { type Subject, subject } from '../subject.ts';
import { type App, findApp, selectApps } from './store.ts';
import { AppView, appView } from './view.ts';

export const app = subject('App', { find: findApp, place: placeInSpace });

const ownSpace = [spaces, (row: App) => row.space_guid] as const;
const ownOrganization = [organizations, (row: App) => row.organization_guid] as const;

export const apps = list('GET /v3/apps', {
  table: 'apps',
  from: selectApps,
  seen: inSpaces('apps.space_guid'),
  labels: true,
  orderBy: ['name', 'state'],
  filters: {
    names: values('apps.name'),
    space_guids: values('apps.space_guid'),
    organization_guids: values('spaces.organization_guid'),
    stacks: where(stagedOn),
    lifecycle_type: oneOf(
      { values: ['buildpack', 'docker', 'cnb'], sentence: (given) => `Invalid lifecycle_type: '${given}'` },
      (given) => sql<boolean>`apps.lifecycle = ${given}`,
    ),
  },
  include: {
    space: [ownSpace],
    org: [ownOrganization],
    'space.organization': [ownSpace, ownOrganization],
  },
  view: AppView,
  views: ({ context }, rows: readonly App[]) => rows.map((row) => appView(context.links, row)),
});

/** The condition of apps that are staged on one of these stacks: an image brings its own root filesystem. */
export function stagedOn(stacks: readonly string[]) {
  return sql<boolean>`apps.stack = ANY(${stacks}) AND apps.lifecycle <> 'docker'`;
}

/** What belongs to an app is where the app is, and is seen by those who see the app. */
export type OfApp<Row> = Row & { readonly app: App };

export function ofApp<Row extends { app_guid: Guid<'app'> }, Of extends string = string>(
  name: string,
  find: (db: Db, guid: Guid<Of>) => Promise<Row | null>,
): Subject<OfApp<Row>> {
  return subject(name, {
    async find(db, guid: Guid<Of>) {
      const row = await find(db, guid);
      const owner = row && (await findApp(db, row.app_guid));
      return owner && { ...row, app: owner };
    },
    place: (row) => placeInSpace(row.app),
  });
}

/** The filters of a list of what belongs to apps, whose `from` joins `apps` and `spaces`. */
export function byApp(table: string) {
  return {
    app_guids: values(`${table}.app_guid`),
    space_guids: values('apps.space_guid'),
    organization_guids: values('spaces.organization_guid'),
  };
}

/** The condition of a list within one app. */
export function inApp(table: string) {
  return ({ guid }: Pick<App, 'guid'>) => sql<boolean>`${sql.ref(`${table}.app_guid`)} = ${guid}`;
}
