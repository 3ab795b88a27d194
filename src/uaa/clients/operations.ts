import { type Static, Type } from 'typebox';
import { BAD_CREDENTIALS, UaaError } from '../errors.ts';
import { queryOf, type UaaApp } from '../http/app.ts';
import { askerOf } from '../http/asker.ts';
import type { Callers } from '../http/gate.ts';
import { filterOf, orderOf, pageOf } from '../scim/query.ts';
import { onlyAttributes, scimList } from '../scim/view.ts';
import type { Services } from '../services.ts';
import { actor } from '../users/operations.ts';
import type { Asker } from '../users/passwords.ts';
import { isAdmin, refuseBeyondCaller } from './authority.ts';
import { ClientBody, ClientUpdateBody, changedClientValues, clientValues, clientView, SecretBody } from './body.ts';
import { CF_CLIENT } from './standard.ts';
import type { Client } from './store.ts';

const SECRET_MESSAGES = { UPDATE: 'secret updated', ADD: 'Secret is added', DELETE: 'Secret is deleted' };

const ClientPath = Type.Object({ clientId: Type.String() });

/** `/oauth/clients`. */
export function registerClients(app: UaaApp, services: Services, callers: Callers): void {
  const { clients, audit } = services;

  app.get('/oauth/clients', async (request) => {
    const query = queryOf(request);
    const page = pageOf(query.get('startIndex'), query.get('count'));
    const order = orderOf(query.get('sortBy') ?? 'client_id', query.get('sortOrder'));
    const found = await clients.list(filterOf(query), page, order);
    return scimList(onlyAttributes(found.clients.map(clientView), query.get('attributes')), page, found.total);
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
    if (request.body.client_id !== undefined && request.body.client_id !== clientId) {
      throw new UaaError('invalid_client_definition', 'The id of a client cannot be changed.');
    }
    const client = await clients.change(clientId, (current) => {
      const values = changedClientValues(current, request.body);
      refuseBeyondCaller(callers.of(request), current);
      refuseBeyondCaller(callers.of(request), values);
      return values;
    });
    audit.info('a client was changed', { ...actor(callers, request), clientId });
    return clientView(client ?? noClient(clientId));
  });

  app.delete('/oauth/clients/:clientId', { schema: { params: ClientPath } }, async (request) => {
    const { clientId } = request.params;
    const client = await clients.delete(clientId, (current) => {
      refuseBeyondCaller(callers.of(request), current);
      if (clientId === CF_CLIENT.id) {
        throw new UaaError('invalid_client_definition', 'The client of the command-line tool cannot be deleted.');
      }
    });
    if (!client) return noClient(clientId);
    audit.info('a client was deleted', { ...actor(callers, request), clientId });
    return clientView(client);
  });

  app.put('/oauth/clients/:clientId/secret', { schema: { params: ClientPath, body: SecretBody } }, async (request) => {
    const { clientId } = request.params;
    const caller = callers.of(request);
    if (!isAdmin(caller) && (caller.user !== null || caller.client.client_id !== clientId)) {
      throw new UaaError('access_denied', 'A client may change only its own secret.');
    }
    const client = await requireClient(services, clientId);
    const asker = askerOf(request.raw);
    const proved = isAdmin(caller) ? null : await proveOldSecret(services, client, request.body.oldSecret, asker);
    const hash = request.body.changeMode === 'DELETE' ? null : await services.passwords.hash(newSecret(request.body));
    const changed = await clients.change(clientId, (current) => {
      if (proved !== null && !current.secret_hashes.includes(proved)) refuseOldSecret();
      return { secret_hashes: changedSecrets(current, request.body, hash) };
    });
    if (!changed) noClient(clientId);
    audit.info('a client secret was changed', { ...actor(callers, request), clientId });
    return { status: 'ok', message: SECRET_MESSAGES[request.body.changeMode ?? 'UPDATE'] };
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

/** The hash that the old secret matches. Throws `invalid_client`. */
async function proveOldSecret(
  services: Services,
  client: Client,
  oldSecret: string | undefined,
  asker: Asker,
): Promise<string> {
  return (await services.secrets.matching(client, oldSecret ?? '', asker)) ?? refuseOldSecret();
}

function refuseOldSecret(): never {
  throw new UaaError('invalid_client', BAD_CREDENTIALS, { reason: 'wrong old secret' });
}

type SecretChange = Static<typeof SecretBody>;

/**
 * The hashes of a client as it is with a new one: ADD keeps the former secret beside it, DELETE drops the older, UPDATE leaves
 * the new one alone. Throws `invalid_client_definition` where that cannot be.
 */
function changedSecrets(
  { secret_hashes: hashes }: Client,
  { changeMode }: SecretChange,
  hash: string | null,
): string[] {
  const [newest] = hashes;
  if (hash !== null && changeMode !== 'ADD') return [hash];
  if (hash !== null) {
    if (hashes.length === 1) return [hash, ...hashes];
    throw new UaaError('invalid_client_definition', 'A client has at most two secrets.');
  }
  if (newest !== undefined && hashes.length > 1) return [newest];
  throw new UaaError('invalid_client_definition', 'The only secret of a client cannot be deleted.');
}

/** Throws `invalid_client_definition` where a mode that needs one has none. */
function newSecret(body: SecretChange): string {
  if (body.secret) return body.secret;
  throw new UaaError('invalid_client_definition', 'A secret is required.');
}
