import type { Static } from 'typebox';
import { recordEvent } from '../audit-events/store.ts';
import type { Actor } from '../authorization.ts';
import { type Db, lockRow } from '../database.ts';
import { notFound, unprocessable } from '../errors.ts';
import { isStack } from '../stacks/store.ts';
import { buildpackEvent } from './events.ts';
import type { CreateBuildpack, UpdateBuildpack } from './schema.ts';
import { type Buildpack, insertBuildpack, lockPositions, makeRoom, updateBuildpack } from './store.ts';

/** Makes a buildpack that waits for its bits. Throws UnprocessableEntity where its stack is not there, or has one of the name. */
export async function createBuildpack(db: Db, actor: Actor, body: Static<typeof CreateBuildpack>): Promise<Buildpack> {
  const { name, stack = null, position, enabled = true, locked = false, metadata } = body;
  await checkStack(db, stack);
  return db.transaction().execute(async (trx) => {
    const place = await makeRoom(trx, position);
    const made = await insertBuildpack(trx, { name, stack, position: place, enabled, locked, metadata });
    await recordEvent(trx, buildpackEvent('audit.buildpack.create', actor, made, { request: body }));
    return made;
  });
}

/** Throws UnprocessableEntity where it would be for another stack than before, or for one that has one of the name. */
export async function changeBuildpack(
  db: Db,
  actor: Actor,
  guid: string,
  body: Static<typeof UpdateBuildpack>,
): Promise<Buildpack> {
  const { stack, position, ...others } = body;
  return db.transaction().execute(async (trx) => {
    // Before the row: whoever moves the others has this and waits for rows.
    await lockPositions(trx);
    const before = await lockRow(trx, 'buildpacks', guid, notFound('Buildpack'));
    if (stack !== undefined) {
      if (before.stack !== null && stack !== before.stack) throw unprocessable('Buildpack stack cannot be changed');
      await checkStack(trx, stack);
    }
    const place = position === undefined ? undefined : await makeRoom(trx, position, before);
    const changed = await updateBuildpack(trx, before, { ...others, stack, position: place });
    await recordEvent(trx, buildpackEvent('audit.buildpack.update', actor, changed, { request: body }));
    return changed;
  });
}

async function checkStack(db: Db, stack: string | null): Promise<void> {
  if (stack !== null && !(await isStack(db, stack))) throw unprocessable(`Stack '${stack}' does not exist`);
}
