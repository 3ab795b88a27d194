import { type RawBuilder, sql } from 'kysely';
import type { DirectoryUser } from '../../contracts/user-directory.ts';
import type { Context } from '../context.ts';
import { badQuery } from '../errors.ts';
import { where } from '../listing.ts';
import type { Query } from '../query.ts';

/** A user with the name UAA has for them, or their guid where it has none. */
export interface NamedUser {
  guid: string;
  name: string;
}

export async function named({ users }: Pick<Context, 'users'>, guid: string): Promise<NamedUser> {
  const [known] = await users.byIds([guid]);
  return { guid, name: known?.userName ?? guid };
}

/** Filters of users by what UAA knows of them; `origins` narrows what one of the others finds. */
export const NAME_FILTERS = {
  usernames: where(async (names, { context, query }) => {
    if (query.filters.has('partial_usernames')) {
      throw badQuery('Usernames cannot be provided when partial_usernames is provided');
    }
    return isOneOf(await context.users.byNames(names), query);
  }),
  partial_usernames: where(async (parts, { context, query }) =>
    isOneOf(await context.users.byPartialNames(parts), query),
  ),
  origins: where((_, { query }) => {
    if (query.filters.has('usernames') || query.filters.has('partial_usernames')) return sql<boolean>`true`;
    throw badQuery('Origins filter cannot be provided without usernames or partial_usernames filter.');
  }),
};

function isOneOf(found: readonly DirectoryUser[], { filters }: Query): RawBuilder<boolean> {
  const origins = filters.get('origins');
  const ids = found.filter(({ origin }) => origins?.includes(origin) ?? true).map(({ id }) => id);
  return sql<boolean>`users.guid = ANY(${ids})`;
}
