import { type Static, Type } from 'typebox';
import { BAD_CREDENTIALS, UaaError } from '../errors.ts';
import { queryOf, type UaaApp } from '../http/app.ts';
import type { Callers } from '../http/gate.ts';
import { pageOf } from '../scim/sql.ts';
import type { Services } from '../services.ts';
import { actor } from '../users/operations.ts';
import { scimList } from '../users/view.ts';
import { isAdmin, refuseBeyondCaller } from './authority.ts';
import { ClientBody, ClientUpdateBody, clientValues, clientView, SecretBody } from './body.ts';
import { CF_CLIENT } from './standard.ts';
import type { Client } from './store.ts';

const ClientPath = Type.Object({ clientId: Type.String() });

/** `/oauth/clients`. */
export function registerClients(app: UaaApp, services: Services, callers: Callers): void {
  const { clients, audit } = services;

  app.get('/oauth/clients', async (request) => {
    const query = queryOf(request);
    const page = pageOf(query.get('startIndex'), query.get('count'));
    const found = await clients.list(page);
    return scimList(found.clients.map(clientView), page, found.total);
  });

  app.get('/oauth/clients/:clientId', { schema: { params: ClientPath } }, async (request) =>
    clientView(await requireClient(services, request.params.clientId)),
  );

  app.post('/oauth/clients', { schema: { body: ClientBody } }, async (request, reply) => {
    const values = clientValues(request.body);
    refuseBeyondCaller(callers.of(request), values);
    const secretHashes = await firstSecret(services, request.body);
    const client = await clients.create({ ...values, client_id: request.body.client_id, secret_hashes: secretHashes });
    audit.info('a client was created', { ...actor(callers, request), clientId: client.client_id });
    return reply.code(201).send(clientView(client));
  });

  app.put('/oauth/clients/:clientId', { schema: { params: ClientPath, body: ClientUpdateBody } }, async (request) => {
    const { clientId } = request.params;
    const current = await requireClient(services, clientId);
    if (request.body.client_id !== undefined && request.body.client_id !== clientId) {
      throw new UaaError('invalid_client_definition', 'The id of a client cannot be changed.');
    }
    const values = clientValues(request.body);
    refuseBeyondCaller(callers.of(request), current);
    refuseBeyondCaller(callers.of(request), values);
    const client = await clients.update(clientId, values);
    audit.info('a client was changed', { ...actor(callers, request), clientId });
    return clientView(client ?? noClient(clientId));
  });

  app.delete('/oauth/clients/:clientId', { schema: { params: ClientPath } }, async (request) => {
    const client = await requireClient(services, request.params.clientId);
    refuseBeyondCaller(callers.of(request), client);
    if (client.client_id === CF_CLIENT.id) {
      throw new UaaError('invalid_client_definition', 'The client of the command-line tool cannot be deleted.');
    }
    await clients.delete(client.client_id);
    audit.info('a client was deleted', { ...actor(callers, request), clientId: client.client_id });
    return clientView(client);
  });

  app.put('/oauth/clients/:clientId/secret', { schema: { params: ClientPath, body: SecretBody } }, async (request) => {
    const { clientId } = request.params;
    const caller = callers.of(request);
    if (!isAdmin(caller) && (caller.user !== null || caller.client.client_id !== clientId)) {
      throw new UaaError('access_denied', 'A client may change only its own secret.');
    }
    const client = await requireClient(services, clientId);
    if (!isAdmin(caller)) await proveOldSecret(services, client, request.body.oldSecret ?? '');
    await clients.update(clientId, { secret_hashes: await changedSecrets(services, client, request.body) });
    audit.info('a client secret was changed', { ...actor(callers, request), clientId });
    return { status: 'ok', message: 'secret updated' };
  });
}

async function requireClient(services: Services, clientId: string): Promise<Client> {
  return (await services.clients.byId(clientId)) ?? noClient(clientId);
}

function noClient(clientId: string): never {
  throw new UaaError('not_found', `No client with requested id: ${clientId}`);
}

/** A client without a secret is public; it can then not act in its own name. */
async function firstSecret(services: Services, body: Static<typeof ClientBody>): Promise<string[]> {
  if (body.client_secret) return [await services.passwords.hash(body.client_secret)];
  if (body.authorized_grant_types.includes('client_credentials')) {
    throw new UaaError('invalid_client_definition', 'A client_secret is required for client_credentials.');
  }
  return [];
}

async function proveOldSecret(services: Services, client: Client, oldSecret: string): Promise<void> {
  if (client.secret_hashes.length > 0 && (await services.secrets.matches(client, oldSecret))) return;
  throw new UaaError('invalid_client', BAD_CREDENTIALS, { reason: 'wrong old secret' });
}

/** ADD keeps the former secret beside the new one, DELETE drops the older, UPDATE leaves the new one alone. */
async function changedSecrets(services: Services, client: Client, body: Static<typeof SecretBody>): Promise<string[]> {
  const [newest] = client.secret_hashes;
  switch (body.changeMode ?? 'UPDATE') {
    case 'UPDATE':
      return [await services.passwords.hash(body.secret)];
    case 'ADD':
      if (client.secret_hashes.length !== 1) {
        throw new UaaError('invalid_client_definition', 'A client has at most two secrets.');
      }
      return [await services.passwords.hash(body.secret), ...client.secret_hashes];
    case 'DELETE':
      if (newest === undefined || client.secret_hashes.length < 2) {
        throw new UaaError('invalid_client_definition', 'The only secret of a client cannot be deleted.');
      }
      return [newest];
  }
}
