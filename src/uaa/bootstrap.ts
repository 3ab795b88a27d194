import { sql } from 'kysely';
import { CF_CLIENT } from './clients/standard.ts';
import { ADMIN_GROUPS, PLATFORM_GROUPS } from './groups/names.ts';
import { INTERNAL_ORIGIN } from './oauth/password-grant.ts';
import type { Services } from './services.ts';
import type { ClientDefinition, UaaOptions } from './settings.ts';
import { KNOWN_CALLER } from './users/passwords.ts';

/** Brings about what must exist: the platform's groups, its clients and the first administrator (UAA-08, UAA-09). */
export async function bootstrap(services: Services, wanted: UaaOptions['bootstrap'] = {}): Promise<void> {
  // One process at a time; the others then find everything there.
  await services.db.transaction().execute(async (trx) => {
    await sql`SELECT pg_advisory_xact_lock(hashtext('uaa:bootstrap'))`.execute(trx);
    await ensureAll(services, wanted);
  });
}

async function ensureAll(services: Services, wanted: NonNullable<UaaOptions['bootstrap']>): Promise<void> {
  await services.groups.ensure(PLATFORM_GROUPS);
  const declared = wanted.clients ?? [];
  const clients = declared.some((client) => client.id === CF_CLIENT.id) ? declared : [CF_CLIENT, ...declared];
  await Promise.all(clients.map((client) => ensureClient(services, client)));
  if (wanted.adminUser) await ensureAdmin(services, wanted.adminUser);
}

async function ensureClient(services: Services, definition: ClientDefinition): Promise<void> {
  const { clients, secrets, passwords } = services;
  const values = {
    name: definition.name ?? null,
    scope: [...(definition.scope ?? ['uaa.none'])],
    authorities: [...(definition.authorities ?? ['uaa.none'])],
    grant_types: [...definition.grantTypes],
    redirect_uris: [...(definition.redirectUris ?? [])],
    auto_approve: [...(definition.autoApprove ?? [])],
    access_token_seconds: definition.accessTokenSeconds ?? null,
    refresh_token_seconds: definition.refreshTokenSeconds ?? null,
  };
  const current = await clients.byId(definition.id);
  const secret = definition.secret ?? '';
  // An unchanged secret keeps its hash: with a new one all tokens of the client would end.
  if (current && (await secrets.matches(current, secret, KNOWN_CALLER))) {
    await clients.change(definition.id, () => values);
    return;
  }
  const hashes = secret === '' ? [] : [await passwords.hash(secret)];
  if (current) await clients.change(definition.id, () => ({ ...values, secret_hashes: hashes }));
  else await clients.create({ ...values, client_id: definition.id, secret_hashes: hashes });
}

async function ensureAdmin(services: Services, admin: { userName: string; password: string }): Promise<void> {
  const { users, groups, passwords } = services;
  if (await users.byName(admin.userName, INTERNAL_ORIGIN)) return;
  const user = await users.create(
    {
      user_name: admin.userName,
      origin: INTERNAL_ORIGIN,
      external_id: null,
      given_name: null,
      family_name: null,
      email: admin.userName,
      phone_number: null,
      active: true,
      verified: true,
    },
    await passwords.hash(admin.password),
  );
  await groups.addUserToNamed(user.id, INTERNAL_ORIGIN, ADMIN_GROUPS);
}
