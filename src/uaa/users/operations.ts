import type { FastifyRequest } from 'fastify';
import { UaaError } from '../errors.ts';
import { queryOf, type UaaApp } from '../http/app.ts';
import type { Form } from '../http/form.ts';
import type { Callers } from '../http/gate.ts';
import { INTERNAL_ORIGIN } from '../oauth/password-grant.ts';
import { parseScimFilter, type ScimFilter } from '../scim/filter.ts';
import { orderOf, pageOf, USER_ID_ATTRIBUTES } from '../scim/sql.ts';
import type { Services } from '../services.ts';
import { newUserValues, patchedUserValues, UserBody, UserPatch, UserPath } from './body.ts';
import type { User, UserValues } from './store.ts';
import { scimList, type UserView, userView } from './view.ts';

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
    return scimList(withAttributes(views, query.get('attributes')), page, found.total);
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

  app.put('/Users/:id', { schema: { params: UserPath, body: UserBody } }, async (request) => {
    const { id } = request.params;
    const current = await requireUser(services, id);
    const values = newUserValues(request.body);
    return view(
      services,
      await replace(current, { ...values, origin: patchedUserValues(current, request.body).origin }, request),
    );
  });

  app.patch('/Users/:id', { schema: { params: UserPath, body: UserPatch } }, async (request) => {
    const current = await requireUser(services, request.params.id);
    return view(services, await replace(current, patchedUserValues(current, request.body), request));
  });

  app.delete('/Users/:id', { schema: { params: UserPath } }, async (request) => {
    const user = await requireUser(services, request.params.id);
    const shown = await view(services, user);
    await users.delete(user.id);
    audit.info('a user was deleted', { ...actor(callers, request), user: user.id });
    return shown;
  });

  async function replace(current: User, values: UserValues, request: FastifyRequest): Promise<User> {
    const user = await users.update(current.id, values, versionOf(request));
    if (!user) {
      throw new UaaError('scim_resource_version_mismatch', 'The user has been changed by somebody else meanwhile.');
    }
    audit.info('a user was changed', { ...actor(callers, request), user: user.id });
    return user;
  }
}

/** Throws `scim_resource_not_found`. */
export async function requireUser(services: Services, id: string): Promise<User> {
  const user = await services.users.byId(id);
  if (!user) throw new UaaError('scim_resource_not_found', `User ${id} does not exist`);
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

function filterOf(query: Form): ScimFilter | null {
  const filter = query.get('filter');
  return filter === null || filter.trim() === '' ? null : parseScimFilter(filter);
}

/** `attributes=id,userName` leaves only these at the top. */
function withAttributes(views: readonly UserView[], attributes: string | null): Partial<UserView>[] {
  if (attributes === null || attributes === '') return [...views];
  const wanted = new Set(attributes.split(',').map((name) => name.trim().toLowerCase()));
  return views.map((shown) =>
    Object.fromEntries(Object.entries(shown).filter(([name]) => wanted.has(name.toLowerCase()))),
  );
}

/** `If-Match`: the version the client has seen; null where it does not care. */
function versionOf(request: FastifyRequest): number | null {
  const given = request.headers['if-match'];
  if (given === undefined || given === '*') return null;
  const version = /^"?(\d{1,9})"?$/.exec(given)?.[1];
  if (version === undefined) throw new UaaError('invalid_request', 'If-Match holds no version.');
  return Number(version);
}
