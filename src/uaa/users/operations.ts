import type { FastifyRequest } from 'fastify';
import { UaaError } from '../errors.ts';
import { queryOf, type UaaApp } from '../http/app.ts';
import type { Callers } from '../http/gate.ts';
import { INTERNAL_ORIGIN } from '../oauth/password-grant.ts';
import { filterOf, orderOf, pageOf } from '../scim/query.ts';
import { USER_ID_ATTRIBUTES } from '../scim/sql.ts';
import { onlyAttributes, scimList } from '../scim/view.ts';
import type { Services } from '../services.ts';
import { newUserValues, patchedUserValues, UserBody, UserPatch, UserPath } from './body.ts';
import { noUser, type User, type UserValues } from './store.ts';
import { type UserView, userView } from './view.ts';

/** SCIM: `/Users` and `/ids/Users`. */
export function registerUsers(app: UaaApp, services: Services, callers: Callers): void {
  const { users, groups, audit } = services;

  app.get('/Users', async (request) => {
    const query = queryOf(request);
    const page = pageOf(query.get('startIndex'), query.get('count'));
    const order = orderOf(query.get('sortBy'), query.get('sortOrder'));
    const found = await users.list(filterOf(query), page, order);
    const memberships = await groups.ofUsers(found.users.map((user) => user.id));
    const views = found.users.map((user) => userView(user, memberships.get(user.id) ?? []));
    return scimList(onlyAttributes(views, query.get('attributes')), page, found.total);
  });

  app.get('/ids/Users', async (request) => {
    const query = queryOf(request);
    const page = pageOf(query.get('startIndex'), query.get('count'));
    const filter = filterOf(query);
    if (!filter) throw new UaaError('invalid_request', 'A filter is required.');
    const order = orderOf(query.get('sortBy') ?? 'userName', query.get('sortOrder'));
    const found = await users.list(filter, page, order, USER_ID_ATTRIBUTES);
    const resources = found.users.map((user) => ({ id: user.id, userName: user.user_name, origin: user.origin }));
    return scimList(resources, page, found.total);
  });

  app.get('/Users/:id', { schema: { params: UserPath } }, async (request, reply) => {
    const user = await requireUser(services, request.params.id);
    reply.header('etag', `"${user.version}"`);
    return view(services, user);
  });

  app.post('/Users', { schema: { body: UserBody } }, async (request, reply) => {
    const values = newUserValues(request.body);
    const passwordHash = await newPasswordHash(services, values, request.body.password || null);
    const user = await users.create(values, passwordHash);
    audit.info('a user was created', { ...actor(callers, request), user: user.id });
    return reply
      .code(201)
      .header('etag', `"${user.version}"`)
      .send(await view(services, user));
  });

  app.put('/Users/:id', { schema: { params: UserPath, body: UserBody } }, async (request, reply) => {
    const { id } = request.params;
    const current = await requireUser(services, id);
    const values = newUserValues(request.body);
    const { origin } = patchedUserValues(current, request.body);
    const user = await replace(current, { ...values, origin }, request);
    reply.header('etag', `"${user.version}"`);
    return view(services, user);
  });

  app.patch('/Users/:id', { schema: { params: UserPath, body: UserPatch } }, async (request, reply) => {
    const current = await requireUser(services, request.params.id);
    const user = await replace(current, patchedUserValues(current, request.body), request);
    reply.header('etag', `"${user.version}"`);
    return view(services, user);
  });

  app.delete('/Users/:id', { schema: { params: UserPath } }, async (request) => {
    const version = versionOf(request) ?? 'any';
    const user = await requireUser(services, request.params.id);
    const shown = await view(services, user);
    await users.delete(user.id, version);
    audit.info('a user was deleted', { ...actor(callers, request), user: user.id });
    return shown;
  });

  async function replace(current: User, values: UserValues, request: FastifyRequest): Promise<User> {
    const seen = versionOf(request) ?? refuseWithoutVersion(request.method);
    // With an asterisk it is the version that the values were made from.
    const user = await users.update(current.id, values, seen === 'any' ? current.version : seen);
    audit.info('a user was changed', { ...actor(callers, request), user: user.id });
    return user;
  }
}

/** Throws `scim_resource_not_found`. */
export async function requireUser(services: Services, id: string): Promise<User> {
  const user = await services.users.byId(id);
  if (!user) throw noUser(id);
  return user;
}

/** Who acted, for the audit log. */
export function actor(callers: Callers, request: FastifyRequest): { by: string; client: string } {
  const { user, client } = callers.of(request);
  return { by: user?.id ?? client.client_id, client: client.client_id };
}

/** Only users of the internal store have a password here, and they must have one. */
async function newPasswordHash(
  services: Services,
  values: UserValues,
  password: string | null,
): Promise<string | null> {
  if (values.origin !== INTERNAL_ORIGIN) {
    if (password === null) return null;
    throw new UaaError('invalid_scim_resource', 'A user of another origin has no password here.');
  }
  if (password === null) throw new UaaError('weak_password', 'A password is required.');
  const weakness = services.passwordPolicy(password);
  if (weakness !== null) throw new UaaError('weak_password', weakness);
  return services.passwords.hash(password);
}

async function view(services: Services, user: User): Promise<UserView> {
  const memberships = await services.groups.ofUsers([user.id]);
  return userView(user, memberships.get(user.id) ?? []);
}

/** `If-Match`: the version the client has seen, `any` for an asterisk; null where it is not there. */
function versionOf(request: FastifyRequest): number | 'any' | null {
  const given = request.headers['if-match'];
  if (given === undefined) return null;
  const text = given.trim().replaceAll('"', '');
  if (text === '*') return 'any';
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new UaaError('invalid_version', 'Invalid version match header (should be a version number).');
}

/** As in UAA nobody changes a user they have not seen, unless they say so by an asterisk. */
function refuseWithoutVersion(method: string): never {
  throw new UaaError('invalid_version', `Missing If-Match for ${method}`);
}
