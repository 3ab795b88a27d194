import type { Selectable, Updateable } from 'kysely';
import { Type } from 'typebox';
import { type Db, now } from '../database.ts';
import { isUniqueViolation, notFound, unprocessable } from '../errors.ts';
import { listView, narrow, page } from '../list.ts';
import { type Call, created, noContent, ok, operation } from '../operation.ts';
import { findProcess } from '../processes/store.ts';
import { identityView, toOne } from '../view.ts';
import { authorizeByApp } from './belongings.ts';
import { recordAppEvent } from './events.ts';
import { type App, authorizeApp, lockApp } from './store.ts';
import type { DropletSidecar, SidecarTable } from './tables.ts';

export type Sidecar = Selectable<SidecarTable>;

const Name = Type.String({ minLength: 1, maxLength: 255 });
const Command = Type.String({ minLength: 1, maxLength: 4096 });
const ProcessTypes = Type.Array(Type.String({ minLength: 1, maxLength: 255 }), { minItems: 1, maxItems: 100 });
const Memory = Type.Union([Type.Integer({ minimum: 1, maximum: 2_147_483_647 }), Type.Null()]);
const CreateSidecar = Type.Object(
  { name: Name, command: Command, process_types: ProcessTypes, memory_in_mb: Type.Optional(Memory) },
  { additionalProperties: false },
);
const UpdateSidecar = Type.Partial(CreateSidecar, { additionalProperties: false });

export const sidecarOperations = [
  operation({
    id: 'GET /v3/apps/:guid/sidecars',
    query: { list: true },
    async run(call) {
      const { db, links } = call.context;
      const app = await authorizeApp(call, call.params.guid);
      const select = db.selectFrom('sidecars').selectAll('sidecars').where('sidecars.app_guid', '=', app.guid);
      const found = await page(db, narrow(select, 'sidecars', call.query), 'sidecars', call.query);
      return ok(listView(links, `/v3/apps/${app.guid}/sidecars`, call.query, found, sidecarView));
    },
  }),
  operation({
    id: 'GET /v3/processes/:guid/sidecars',
    query: { list: true },
    async run(call) {
      const { db, links } = call.context;
      const found = await findProcess(db, call.params.guid);
      const { app, row: process } = await authorizeByApp(call, found, notFound('Process'));
      const select = ofType(db, app.guid, process.type);
      const beside = await page(db, narrow(select, 'sidecars', call.query), 'sidecars', call.query);
      return ok(listView(links, `/v3/processes/${process.guid}/sidecars`, call.query, beside, sidecarView));
    },
  }),
  operation({
    id: 'POST /v3/apps/:guid/sidecars',
    body: CreateSidecar,
    async run(call) {
      const { db } = call.context;
      const { guid: appGuid } = await authorizeApp(call, call.params.guid);
      const { name, command, process_types, memory_in_mb } = call.body;
      const row = await db.transaction().execute(async (trx) => {
        const app = await lockApp(trx, appGuid);
        const values = { name, command, process_types, memory_mb: memory_in_mb ?? null };
        const inserted = await insertSidecar(trx, app.guid, values, 'user');
        await checkSidecarMemory(trx, app.guid);
        await recordSidecar(trx, call, app, inserted);
        return inserted;
      });
      return created(sidecarView(row));
    },
  }),
  operation({
    id: 'GET /v3/sidecars/:guid',
    async run(call) {
      return ok(sidecarView((await authorizedSidecar(call, call.params.guid)).sidecar));
    },
  }),
  operation({
    id: 'PATCH /v3/sidecars/:guid',
    body: UpdateSidecar,
    async run(call) {
      const { app, sidecar } = await authorizedSidecar(call, call.params.guid);
      const { memory_in_mb, ...body } = call.body;
      const row = await call.context.db.transaction().execute(async (trx) => {
        await lockApp(trx, app.guid);
        const changes = { ...body, ...(memory_in_mb === undefined ? {} : { memory_mb: memory_in_mb }) };
        const updated = await updateSidecar(trx, sidecar, changes);
        await checkSidecarMemory(trx, app.guid);
        await recordSidecar(trx, call, app, updated);
        return updated;
      });
      return ok(sidecarView(row));
    },
  }),
  operation({
    id: 'DELETE /v3/sidecars/:guid',
    async run(call) {
      const { app, sidecar } = await authorizedSidecar(call, call.params.guid);
      await call.context.db.transaction().execute(async (trx) => {
        await trx.deleteFrom('sidecars').where('guid', '=', sidecar.guid).execute();
        await recordSidecar(trx, call, app, sidecar);
      });
      return noContent();
    },
  }),
];

const ofType = (db: Db, appGuid: string, type: string) =>
  db
    .selectFrom('sidecars')
    .selectAll('sidecars')
    .where('sidecars.app_guid', '=', appGuid)
    .where((eb) => eb(eb.val(type), '=', eb.fn.any('sidecars.process_types')));

/** What runs beside a process of this type, in a stable order. */
export async function sidecarsOfType(db: Db, appGuid: string, type: string): Promise<Sidecar[]> {
  return ofType(db, appGuid, type).orderBy('sidecars.name').execute();
}

/**
 * What sidecars are given must leave something for the process they run beside. Throws UnprocessableEntity; call it after the
 * change, in its transaction.
 */
export async function checkSidecarMemory(trx: Db, appGuid: string): Promise<void> {
  const processes = await trx.selectFrom('processes').selectAll().where('app_guid', '=', appGuid).execute();
  const sidecars = await trx.selectFrom('sidecars').selectAll().where('app_guid', '=', appGuid).execute();
  for (const { type, memory_mb: memory } of processes) {
    const beside = sidecars.filter(({ process_types: types }) => types.includes(type));
    const taken = beside.reduce((sum, sidecar) => sum + (sidecar.memory_mb ?? 0), 0);
    if (taken >= memory) {
      throw unprocessable(`The memory allocation defined is too large to run with the dependent "${type}" process`);
    }
  }
}

/** Sets a sidecar of this name, as a manifest does. */
export async function setSidecar(trx: Db, appGuid: string, values: DropletSidecar): Promise<void> {
  const existing = await trx
    .selectFrom('sidecars')
    .selectAll()
    .where('app_guid', '=', appGuid)
    .where('name', '=', values.name)
    .executeTakeFirst();
  if (existing) await updateSidecar(trx, existing, { ...values, origin: 'user' });
  else await insertSidecar(trx, appGuid, values, 'user');
}

/** The sidecars a droplet brings take the place of those the last one brought. A person's of the same name is refused. */
export async function takeSidecarsOfDroplet(
  trx: Db,
  appGuid: string,
  sidecars: readonly DropletSidecar[],
): Promise<void> {
  await trx.deleteFrom('sidecars').where('app_guid', '=', appGuid).where('origin', '=', 'buildpack').execute();
  for (const sidecar of sidecars) {
    const users = await trx
      .selectFrom('sidecars')
      .select('guid')
      .where('app_guid', '=', appGuid)
      .where('name', '=', sidecar.name)
      .executeTakeFirst();
    if (users) {
      throw unprocessable(
        `Buildpack defined sidecar '${sidecar.name}' conflicts with an existing user-defined sidecar. Consider renaming '${sidecar.name}'.`,
      );
    }
    await insertSidecar(trx, appGuid, sidecar, 'buildpack');
  }
  await checkSidecarMemory(trx, appGuid);
}

async function authorizedSidecar(
  call: Pick<Call, 'authorize' | 'context'>,
  guid: string,
): Promise<{ app: App; sidecar: Sidecar }> {
  const { db } = call.context;
  const sidecar = await db.selectFrom('sidecars').selectAll().where('guid', '=', guid).executeTakeFirst();
  const { app, row } = await authorizeByApp(call, sidecar, notFound('Sidecar'));
  return { app, sidecar: row };
}

async function insertSidecar(
  trx: Db,
  appGuid: string,
  values: DropletSidecar,
  origin: Sidecar['origin'],
): Promise<Sidecar> {
  return trx
    .insertInto('sidecars')
    .values({ guid: crypto.randomUUID(), app_guid: appGuid, ...values, origin })
    .returningAll()
    .executeTakeFirstOrThrow()
    .catch((error: unknown) => {
      throw nameTaken(error, values.name);
    });
}

async function updateSidecar(trx: Db, sidecar: Sidecar, changes: Updateable<SidecarTable>): Promise<Sidecar> {
  return trx
    .updateTable('sidecars')
    .set({ ...changes, updated_at: now })
    .where('guid', '=', sidecar.guid)
    .returningAll()
    .executeTakeFirstOrThrow()
    .catch((error: unknown) => {
      throw nameTaken(error, changes.name ?? sidecar.name);
    });
}

function nameTaken(error: unknown, name: string): unknown {
  if (!isUniqueViolation(error, 'sidecars_app_guid_name_key')) return error;
  return unprocessable(`Sidecar with name '${name}' already exists for given app`);
}

/** Commands may carry secrets: the event names the sidecar alone. */
async function recordSidecar(trx: Db, call: Pick<Call, 'actor'>, app: App, sidecar: Sidecar): Promise<void> {
  const request = { sidecar: { guid: sidecar.guid, name: sidecar.name } };
  await recordAppEvent(trx, 'audit.app.update', call.actor, app, { request });
}

function sidecarView(row: Sidecar): Record<string, unknown> {
  return {
    ...identityView(row),
    name: row.name,
    command: row.command,
    process_types: row.process_types,
    memory_in_mb: row.memory_mb,
    origin: row.origin,
    relationships: { app: toOne(row.app_guid) },
  };
}
