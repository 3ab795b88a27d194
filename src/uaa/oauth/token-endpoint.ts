import type { FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { clientCredentialsOf } from '../clients/secrets.ts';
import type { Client } from '../clients/store.ts';
import { UaaError } from '../errors.ts';
import { formOf, queryOf, type UaaApp } from '../http/app.ts';
import { askerOf } from '../http/asker.ts';
import type { Form } from '../http/form.ts';
import type { Callers } from '../http/gate.ts';
import type { Services } from '../services.ts';
import { GRANT_TYPES, type GrantType, MAX_REFRESH_TOKEN_SECONDS } from '../settings.ts';
import { actor } from '../users/operations.ts';
import type { Asker } from '../users/passwords.ts';
import { authorizationCodeGrant, authorize } from './authorization-code-grant.ts';
import { clientCredentialsGrant } from './client-credentials-grant.ts';
import { passwordGrant } from './password-grant.ts';
import { refreshGrant } from './refresh-grant.ts';
import type { TokenResponse } from './tokens.ts';

const TokenPath = Type.Object({ tokenId: Type.String() });
const UserPath = Type.Object({ id: Type.String() });
const ClientPath = Type.Object({ clientId: Type.String() });

/** `asker` is who sent the request. */
type Grant = (services: Services, client: Client, form: Form, asker: Asker) => Promise<TokenResponse>;

const GRANTS: Readonly<Record<GrantType, Grant>> = {
  password: passwordGrant,
  refresh_token: refreshGrant,
  client_credentials: clientCredentialsGrant,
  authorization_code: authorizationCodeGrant,
};

/** What clients send in the query, and what is no secret; the format is always a JSON Web Token. */
const QUERY_PARAMETERS = ['login_hint', 'token_format'];

/** `POST /oauth/token`, `GET /oauth/authorize`, `DELETE /oauth/token/revoke/:tokenId`. */
export function registerTokenEndpoint(app: UaaApp, services: Services, callers: Callers): void {
  app.post('/oauth/token', async (request, reply) => {
    const form = formOf(request, QUERY_PARAMETERS);
    const grant = async (asker: Asker): Promise<TokenResponse> => {
      const client = await authenticateClient(services, request, form, asker);
      const grantType = knownGrantType(form.require('grant_type'));
      refuseUnregisteredGrant(client, grantType);
      return GRANTS[grantType](services, client, form, asker);
    };
    const asker = askerOf(request.raw);
    // A password costs the machine most, so its turn comes before anything is asked of the database.
    const costly = form.get('grant_type') === 'password';
    const response = await (costly ? services.passwords.inTurn(asker, grant) : grant(asker));
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
    // Of somebody else's token the expiry is not known. An hour more, in case a clock is set.
    const longest = new Date(services.clock().getTime() + (MAX_REFRESH_TOKEN_SECONDS + 3_600) * 1_000);
    await services.revocations.add(request.params.tokenId, own ? token.expiresAt : longest);
    services.audit.info('a token was revoked', { user: token.user?.id ?? null, client: token.client.client_id });
    return {};
  });
}

/** `GET /oauth/token/revoke/user/:id` and `…/client/:clientId`: every token of a user or client ends, refresh tokens too. */
export function registerRevocation(app: UaaApp, services: Services, callers: Callers): void {
  app.get('/oauth/token/revoke/user/:id', { schema: { params: UserPath } }, async (request) => {
    const { id } = request.params;
    if (!(await services.users.endTokens(id))) throw new UaaError('not_found', `User ${id} does not exist`);
    services.audit.info('the tokens of a user were revoked', { ...actor(callers, request), user: id });
    return {};
  });

  app.get('/oauth/token/revoke/client/:clientId', { schema: { params: ClientPath } }, async (request) => {
    const { clientId } = request.params;
    if (!(await services.clients.endTokens(clientId))) {
      throw new UaaError('not_found', `No client with requested id: ${clientId}`);
    }
    services.audit.info('the tokens of a client were revoked', { ...actor(callers, request), clientId });
    return {};
  });
}

async function authenticateClient(
  services: Services,
  request: FastifyRequest,
  form: Form,
  asker: Asker,
): Promise<Client> {
  const credentials = clientCredentialsOf(request.headers.authorization, form);
  if (!credentials) throw new UaaError('unauthorized', 'Full authentication is required to access this resource');
  return services.secrets.authenticate(credentials, asker);
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
