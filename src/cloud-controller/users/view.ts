import type { DirectoryUser } from '../../contracts/user-directory.ts';
import type { Context } from '../context.ts';
import { identityView, type Links } from '../view.ts';
import { findUsers, type User } from './store.ts';

export function userView(links: Links, user: User, known: DirectoryUser | undefined): Record<string, unknown> {
  return {
    ...identityView(user),
    username: known?.userName ?? null,
    presentation_name: known?.userName ?? user.guid,
    origin: known?.origin ?? null,
    metadata: { labels: user.labels, annotations: user.annotations },
    links: { self: links.to(`/v3/users/${encodeURIComponent(user.guid)}`) },
  };
}

/** Makes views of users with the names UAA has for them, asked once for all. */
export async function userPresenter(context: Context, users: readonly User[]): Promise<(user: User) => unknown> {
  const found = users.length === 0 ? [] : await context.users.byIds(users.map((user) => user.guid));
  const byId = new Map(found.map((user) => [user.id, user]));
  return (user) => userView(context.links, user, byId.get(user.guid));
}

export async function usersView(context: Context, guids: readonly string[]): Promise<unknown[]> {
  const users = await findUsers(context.db, guids);
  const present = await userPresenter(context, users);
  return users.map(present);
}
