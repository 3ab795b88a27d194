import { sql } from 'kysely';
import type { Sees } from '../authorization.ts';
import { list } from '../listing.ts';
import { placeless } from '../subject.ts';
import { NAME_FILTERS } from './names.ts';
import { findUser, selectUsers, type User } from './store.ts';
import { UserView, userView } from './view.ts';

/** Everybody sees themselves, and who has a role in an organization they see. */
function seen({ caller, organizations }: Sees) {
  if (organizations.everything) return null;
  return sql<boolean>`(users.guid = ${caller.userGuid} OR users.guid IN
    (SELECT user_guid FROM roles WHERE organization_guid IN ${organizations.guids}))`;
}

export const user = placeless('User', (db, guid, asking) => findUser(db, guid, seen(asking)));

export const users = list('GET /v3/users', {
  table: 'users',
  from: selectUsers,
  seen,
  labels: true,
  filters: NAME_FILTERS,
  view: UserView,
  async views({ context }, rows: readonly User[]) {
    const known = rows.length === 0 ? [] : await context.users.byIds(rows.map(({ guid }) => guid));
    const byId = new Map(known.map((one) => [one.id, one]));
    return rows.map((row) => userView(context.links, row, byId.get(row.guid)));
  },
});

/** The condition of users with a role in an organization, or in a space. */
export function withRoleIn(place: 'organization' | 'space') {
  return ({ guid }: { guid: string }) =>
    sql<boolean>`users.guid IN (SELECT user_guid FROM roles WHERE ${sql.ref(`${place}_guid`)} = ${guid})`;
}
