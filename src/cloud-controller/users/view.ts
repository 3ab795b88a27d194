import { type Static, Type } from 'typebox';
import type { DirectoryUser } from '../../contracts/user-directory.ts';
import { IDENTITY, identityView, Link, type Links, MetadataView, metadataView } from '../view.ts';
import type { User } from './store.ts';

const TextOrNone = Type.Union([Type.String(), Type.Null()]);

export const UserView = Type.Object(
  {
    ...IDENTITY,
    username: TextOrNone,
    presentation_name: Type.String(),
    origin: TextOrNone,
    metadata: MetadataView,
    links: Type.Object({ self: Link }),
  },
  { title: 'User' },
);

/** `known` is what UAA says of the user. */
export function userView(links: Links, user: User, known: DirectoryUser | undefined): Static<typeof UserView> {
  return {
    ...identityView(user),
    username: known?.userName ?? null,
    presentation_name: known?.userName ?? user.guid,
    origin: known?.origin ?? null,
    metadata: metadataView(user),
    links: { self: links.to(`/v3/users/${encodeURIComponent(user.guid)}`) },
  };
}
