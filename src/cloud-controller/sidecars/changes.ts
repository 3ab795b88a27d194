import type { Static } from 'typebox';
import { recordAppEvent } from '../apps/events.ts';
import { type App, lockApp } from '../apps/store.ts';
import type { Actor } from '../authorization.ts';
import type { Db, Trx } from '../database.ts';
import { unprocessable } from '../errors.ts';
import type { Guid } from '../guid.ts';
import { checkSidecarMemory } from '../processes/sidecar-memory.ts';
import type { CreateSidecar, UpdateSidecar } from './schema.ts';
import {
  deleteSidecar,
  deleteSidecarsOfDroplets,
  findSidecarByName,
  insertSidecar,
  type NewSidecar,
  type Sidecar,
  updateSidecar,
} from './store.ts';

/** Throws UnprocessableEntity for a name that is taken, and for more memory than the process beside it leaves. */
export async function createSidecar(
  db: Db,
  { guid }: App,
  { memory_in_mb, ...body }: Static<typeof CreateSidecar>,
  actor: Actor,
): Promise<Sidecar> {
  return db.transaction().execute(async (trx) => {
    const app = await lockApp(trx, guid);
    const inserted = await insertSidecar(trx, guid, { ...body, memory_mb: memory_in_mb ?? null }, 'user');
    await checkSidecarMemory(trx, guid);
    await recordSidecar(trx, actor, app, inserted);
    return inserted;
  });
}

/** Changes what is named of it. Throws as `createSidecar`. */
export async function changeSidecar(
  db: Db,
  sidecar: Sidecar & { app: App },
  { memory_in_mb, ...body }: Static<typeof UpdateSidecar>,
  actor: Actor,
): Promise<Sidecar> {
  const { app } = sidecar;
  return db.transaction().execute(async (trx) => {
    await lockApp(trx, app.guid);
    const changes = { ...body, ...(memory_in_mb === undefined ? {} : { memory_mb: memory_in_mb }) };
    const updated = await updateSidecar(trx, sidecar, changes);
    await checkSidecarMemory(trx, app.guid);
    await recordSidecar(trx, actor, app, updated);
    return updated;
  });
}

export async function removeSidecar(db: Db, { app, guid }: Sidecar & { app: App }, actor: Actor): Promise<void> {
  await db.transaction().execute(async (trx) => {
    await recordSidecar(trx, actor, app, await deleteSidecar(trx, guid));
  });
}

/** Sets a sidecar of this name, as a manifest does. */
export async function setSidecar(trx: Trx, appGuid: Guid<'app'>, values: NewSidecar): Promise<void> {
  const existing = await findSidecarByName(trx, appGuid, values.name);
  if (existing) await updateSidecar(trx, existing, { ...values, origin: 'user' });
  else await insertSidecar(trx, appGuid, values, 'user');
}

/** The sidecars a droplet brings take the place of those the last one brought. A person's of the same name is refused. */
export async function takeSidecarsOfDroplet(
  trx: Trx,
  appGuid: Guid<'app'>,
  sidecars: readonly NewSidecar[],
): Promise<void> {
  await deleteSidecarsOfDroplets(trx, appGuid);
  for (const sidecar of sidecars) {
    if (await findSidecarByName(trx, appGuid, sidecar.name)) {
      throw unprocessable(
        `Buildpack defined sidecar '${sidecar.name}' conflicts with an existing user-defined sidecar. Consider renaming '${sidecar.name}'.`,
      );
    }
    await insertSidecar(trx, appGuid, sidecar, 'buildpack');
  }
  await checkSidecarMemory(trx, appGuid);
}

/** Commands may carry secrets: the event names the sidecar alone. */
async function recordSidecar(trx: Trx, actor: Actor, app: App, { guid, name }: Sidecar): Promise<void> {
  await recordAppEvent(trx, 'audit.app.update', actor, app, { request: { sidecar: { guid, name } } });
}
