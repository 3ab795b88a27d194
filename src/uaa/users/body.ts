import { type Static, Type } from 'typebox';
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

/** What a new user is, from what the client says. An address is required, the name serves as one. */
export function newUserValues(body: Static<typeof UserBody>): UserValues {
  const userName = trimmed(body.userName);
  return {
    user_name: userName,
    origin: body.origin || 'uaa',
    external_id: body.externalId || null,
    given_name: body.name?.givenName || null,
    family_name: body.name?.familyName || null,
    email: body.emails?.[0]?.value ?? userName,
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
    email: patch.emails?.[0]?.value ?? user.email,
    phone_number: patch.phoneNumbers === undefined ? user.phone_number : (patch.phoneNumbers[0]?.value ?? null),
    active: patch.active ?? user.active,
    verified: patch.verified ?? user.verified,
  };
}

function trimmed(userName: string): string {
  const name = userName.trim();
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is refused
  if (name === '' || /[\u0000-\u001f\u007f]/.test(name)) {
    throw new UaaError('invalid_scim_resource', 'The username is empty or holds a control character.');
  }
  return name;
}
