import type { FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { clientCredentialsOf } from '../clients/secrets.ts';
import type { Client } from '../clients/store.ts';
import { UaaError } from '../errors.ts';
import { formOf, queryOf, type UaaApp } from '../http/app.ts';
import type { Form } from '../http/form.ts';
import type { Callers } from '../http/gate.ts';
import type { Services } from '../services.ts';
import { GRANT_TYPES, type GrantType } from '../settings.ts';
import { authorizationCodeGrant, authorize } from './authorization-code-grant.ts';
import { clientCredentialsGrant } from './client-credentials-grant.ts';
import { passwordGrant } from './password-grant.ts';
import { refreshGrant } from './refresh-grant.ts';
import type { TokenResponse } from './tokens.ts';

const TokenPath = Type.Object({ tokenId: Type.String() });

type Grant = (services: Services, client: Client, form: Form) => Promise<TokenResponse>;

const GRANTS: Readonly<Record<GrantType, Grant>> = {
  password: passwordGrant,
  refresh_token: refreshGrant,
  client_credentials: clientCredentialsGrant,
  authorization_code: authorizationCodeGrant,
};

/** Of the query only this is read: what is secret must not stand in an address. */
const QUERY_PARAMETERS = ['login_hint'];

/** `POST /oauth/token`, `GET /oauth/authorize`, `DELETE /oauth/token/revoke/:tokenId`. */
export function registerTokenEndpoint(app: UaaApp, services: Services, callers: Callers): void {
  app.post('/oauth/token', async (request, reply) => {
    const form = tokenForm(request);
    const client = await authenticateClient(services, request, form);
    const grantType = knownGrantType(form.require('grant_type'));
    refuseUnregisteredGrant(client, grantType);
    const response = await GRANTS[grantType](services, client, form);
    reply.header('pragma', 'no-cache');
    return response;
  });

  app.get('/oauth/authorize', async (request, reply) => {
    const location = await authorize(services, callers.of(request), queryOf(request));
    return reply.code(302).header('location', location).send();
  });

  app.delete('/oauth/token/revoke/:tokenId', { schema: { params: TokenPath } }, async (request) => {
    const token = callers.of(request);
    const own = token.jti === request.params.tokenId;
    const longest = new Date(services.clock().getTime() + LONGEST_LIFE_MS);
    await services.revocations.add(request.params.tokenId, own ? token.expiresAt : longest);
    services.audit.info('a token was revoked', { user: token.user?.id ?? null, client: token.client.client_id });
    return {};
  });
}

/** How long the id of somebody else's token is kept, whose expiry is not known. */
const LONGEST_LIFE_MS = 90 * 24 * 3_600_000;

function tokenForm(request: FastifyRequest): Form {
  return formOf(request).over(queryOf(request).only(QUERY_PARAMETERS));
}

async function authenticateClient(services: Services, request: FastifyRequest, form: Form): Promise<Client> {
  const credentials = clientCredentialsOf(request.headers.authorization, form);
  if (!credentials) throw new UaaError('unauthorized', 'Full authentication is required to access this resource');
  return services.secrets.authenticate(credentials);
}

function knownGrantType(text: string): GrantType {
  const grantType = GRANT_TYPES.find((known) => known === text);
  if (!grantType) throw new UaaError('unsupported_grant_type', 'Unsupported grant type.');
  return grantType;
}

function refuseUnregisteredGrant(client: Client, grantType: GrantType): void {
  if (!client.grant_types.includes(grantType)) {
    throw new UaaError('invalid_client', `Unauthorized grant type: ${grantType}`);
  }
}
