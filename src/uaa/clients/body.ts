import { type Static, Type } from 'typebox';
import { MAX_ACCESS_TOKEN_SECONDS } from '../../contracts/token-lifetime.ts';
import { UaaError } from '../errors.ts';
import { GRANT_TYPES, MAX_REFRESH_TOKEN_SECONDS } from '../settings.ts';
import type { Client, ClientValues } from './store.ts';

const Words = Type.Array(Type.String({ minLength: 1, maxLength: 255, pattern: '^[\\w.*:/-]+$' }), { maxItems: 500 });
const Seconds = Type.Union([Type.Integer({ minimum: 1, maximum: 2_147_483_647 }), Type.Null()]);

export const ClientBody = Type.Object({
  client_id: Type.String({ minLength: 1, maxLength: 255, pattern: '^[\\w.@+-]+$' }),
  client_secret: Type.Optional(Type.String({ maxLength: 255 })),
  name: Type.Optional(Type.Union([Type.String({ maxLength: 255 }), Type.Null()])),
  scope: Type.Optional(Words),
  authorities: Type.Optional(Words),
  authorized_grant_types: Type.Array(Type.String({ maxLength: 100 }), { minItems: 1, maxItems: 20 }),
  redirect_uri: Type.Optional(Type.Array(Type.String({ maxLength: 1024 }), { maxItems: 50 })),
  autoapprove: Type.Optional(Type.Union([Type.Boolean(), Words])),
  access_token_validity: Type.Optional(Seconds),
  refresh_token_validity: Type.Optional(Seconds),
});
/** What is left out, the id of the path too, stays as it is. */
export const ClientUpdateBody = Type.Object({
  ...ClientBody.properties,
  client_id: Type.Optional(ClientBody.properties.client_id),
  authorized_grant_types: Type.Optional(Type.Array(Type.String({ maxLength: 100 }), { maxItems: 20 })),
  autoapprove: Type.Optional(Type.Union([Type.Boolean(), Words, Type.Null()])),
});
/** `secret` is required by all modes but DELETE. */
export const SecretBody = Type.Object({
  secret: Type.Optional(Type.Union([Type.String({ maxLength: 255 }), Type.Null()])),
  oldSecret: Type.Optional(Type.String({ maxLength: 255 })),
  changeMode: Type.Optional(Type.Union([Type.Literal('UPDATE'), Type.Literal('ADD'), Type.Literal('DELETE')])),
});

/** Throws `invalid_client_definition` for grants and addresses that cannot be served. */
export function clientValues(
  body: Omit<Static<typeof ClientBody>, 'client_id'>,
): Omit<ClientValues, 'client_id' | 'secret_hashes'> {
  const unknown = body.authorized_grant_types.find((grant) => !GRANT_TYPES.some((known) => known === grant));
  if (unknown !== undefined) refuse('An authorized grant type is not supported.');
  const redirectUris = body.redirect_uri ?? [];
  if (!redirectUris.every(isPlainAddress))
    refuse('A redirect_uri must be a whole address without wildcard or fragment.');
  if (body.authorized_grant_types.includes('authorization_code') && redirectUris.length === 0) {
    refuse('The grant type authorization_code needs a redirect_uri.');
  }
  return {
    name: body.name ?? null,
    scope: unique(body.scope ?? ['uaa.none']),
    authorities: unique(body.authorities ?? ['uaa.none']),
    grant_types: unique(body.authorized_grant_types),
    redirect_uris: unique(redirectUris),
    auto_approve: body.autoapprove === true ? ['true'] : body.autoapprove === false ? [] : (body.autoapprove ?? []),
    access_token_seconds: bounded(body.access_token_validity ?? null, MAX_ACCESS_TOKEN_SECONDS),
    refresh_token_seconds: bounded(body.refresh_token_validity ?? null, MAX_REFRESH_TOKEN_SECONDS),
  };
}

/**
 * The values of a client with some replaced. As in UAA an empty list says as little as none, except `autoapprove`: it takes
 * nothing from the client.
 */
export function changedClientValues(client: Client, body: Static<typeof ClientUpdateBody>) {
  const list = (given: readonly string[] | undefined, current: readonly string[]) => [
    ...(given === undefined || given.length === 0 ? current : given),
  ];
  return clientValues({
    name: body.name === undefined ? client.name : body.name,
    scope: list(body.scope, client.scope),
    authorities: list(body.authorities, client.authorities),
    authorized_grant_types: list(body.authorized_grant_types, client.grant_types),
    redirect_uri: list(body.redirect_uri, client.redirect_uris),
    autoapprove: body.autoapprove ?? client.auto_approve,
    access_token_validity: body.access_token_validity ?? client.access_token_seconds,
    refresh_token_validity: body.refresh_token_validity ?? client.refresh_token_seconds,
  });
}

/** A client as the API shows it: never its secret, nor the hash. */
export function clientView(client: Client) {
  return {
    client_id: client.client_id,
    name: client.name ?? undefined,
    scope: client.scope,
    authorities: client.authorities,
    authorized_grant_types: client.grant_types,
    redirect_uri: client.redirect_uris,
    autoapprove: client.auto_approve.includes('true') ? true : client.auto_approve,
    access_token_validity: client.access_token_seconds ?? undefined,
    refresh_token_validity: client.refresh_token_seconds ?? undefined,
    resource_ids: ['none'],
    lastModified: client.updated_at.getTime(),
  };
}

/** UAA takes any number; here a longer life than tokens may have is taken for the longest, and the answer says so. */
const bounded = (seconds: number | null, longest: number): number | null =>
  seconds === null ? null : Math.min(seconds, longest);

function isPlainAddress(text: string): boolean {
  return URL.canParse(text) && /^https?:\/\//.test(text) && !/[*#\s]/.test(text);
}

const unique = (words: readonly string[]): string[] => [...new Set(words)];

function refuse(description: string): never {
  throw new UaaError('invalid_client_definition', description);
}
