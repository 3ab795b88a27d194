import { type Static, Type } from 'typebox';
import { isPrintable } from '../../kit/printable.ts';
import { UaaError } from '../errors.ts';
import type { User, UserValues } from './store.ts';

const Name = Type.String({ minLength: 1, maxLength: 255 });
const Text = Type.Union([Type.String({ maxLength: 255 }), Type.Null()]);
const Values = Type.Array(Type.Object({ value: Type.String({ minLength: 1, maxLength: 255 }) }), { maxItems: 10 });

export const UserBody = Type.Object({
  userName: Name,
  password: Type.Optional(Type.Union([Type.String({ maxLength: 255 }), Type.Null()])),
  origin: Type.Optional(Type.String({ maxLength: 36 })),
  externalId: Type.Optional(Text),
  name: Type.Optional(Type.Object({ familyName: Type.Optional(Text), givenName: Type.Optional(Text) })),
  emails: Type.Optional(Values),
  phoneNumbers: Type.Optional(Values),
  active: Type.Optional(Type.Boolean()),
  verified: Type.Optional(Type.Boolean()),
});
export const UserPatch = Type.Partial(UserBody);
export const UserPath = Type.Object({ id: Type.String() });
export const PasswordBody = Type.Object({
  password: Type.String({ minLength: 1, maxLength: 255 }),
  oldPassword: Type.Optional(Type.Union([Type.String({ maxLength: 255 }), Type.Null()])),
});

/** A user as the client says: new, or replaced as a whole. Throws `invalid_scim_resource`. */
export function newUserValues(body: Static<typeof UserBody>): UserValues {
  const userName = trimmed(body.userName);
  return {
    user_name: userName,
    origin: body.origin || 'uaa',
    external_id: body.externalId || null,
    given_name: body.name?.givenName || null,
    family_name: body.name?.familyName || null,
    email: onlyEmail(body.emails ?? []),
    phone_number: body.phoneNumbers?.[0]?.value ?? null,
    active: body.active ?? true,
    verified: body.verified ?? true,
  };
}

/** A user with some values replaced. The origin never changes: it says who vouches for the user. */
export function patchedUserValues(user: User, patch: Static<typeof UserPatch>): UserValues {
  if (patch.origin !== undefined && patch.origin !== '' && patch.origin !== user.origin) {
    throw new UaaError('invalid_scim_resource', 'The origin of a user cannot be changed.');
  }
  return {
    user_name: patch.userName === undefined ? user.user_name : trimmed(patch.userName),
    origin: user.origin,
    external_id: patch.externalId === undefined ? user.external_id : patch.externalId || null,
    given_name: patch.name?.givenName === undefined ? user.given_name : patch.name.givenName || null,
    family_name: patch.name?.familyName === undefined ? user.family_name : patch.name.familyName || null,
    email: patch.emails === undefined ? user.email : onlyEmail(patch.emails),
    phone_number: patch.phoneNumbers === undefined ? user.phone_number : (patch.phoneNumbers[0]?.value ?? null),
    active: patch.active ?? user.active,
    verified: patch.verified ?? user.verified,
  };
}

/** As UAA: one address, and no more than one. */
function onlyEmail(emails: Static<typeof Values>): string {
  const [email, ...others] = emails;
  if (email && others.length === 0) return email.value;
  throw new UaaError('invalid_scim_resource', 'Exactly one email must be provided.');
}

function trimmed(userName: string): string {
  const name = userName.trim();
  if (name === '' || !isPrintable(name)) {
    throw new UaaError('invalid_scim_resource', 'The username is empty or holds a control character.');
  }
  return name;
}
