import { after, before } from 'node:test';
import { sql } from 'kysely';
import { startTestFoundation, type TestFoundation } from './apps.ts';
import type { Person, TestCloudController } from './cloud-controller.ts';
import { type Elsewhere, elsewhereOf } from './elsewhere.ts';
import { startWorld, type World, type WorldMaker } from './role-world.ts';

/** What the tests of a suite share. It is there once a test runs. */
export let foundation: TestFoundation;
export let cc: TestCloudController;
export let maker: WorldMaker;
export let world: World;
export let stranger: Person;
export let elsewhere: Elsewhere;

/** To be called once in a test file, in its suite: a foundation for all its tests. */
export function suiteHasAFoundation(): void {
  before(async () => {
    foundation = await startTestFoundation();
    cc = foundation.cc;
  });
  after(() => foundation.close());
}

/** The same with a world in it. */
export function suiteHasAWorld(): void {
  before(async () => {
    ({ foundation, maker, world } = await startWorld());
    cc = foundation.cc;
  });
  after(() => foundation.close());
}

/** To be called after one of those: somebody who has nothing to do with what is there. */
export function suiteHasAStranger(): void {
  before(async () => {
    ({ stranger, elsewhere } = await elsewhereOf(foundation));
  });
}

/** The number of the last audit event. */
export async function lastEvent(): Promise<number> {
  const { rows } = await sql<{ id: number }>`SELECT coalesce(max(id), 0) AS id FROM audit_events`.execute(cc.db);
  return rows[0]?.id ?? 0;
}

/** What was recorded after that one. */
export function eventsAfter(id: number) {
  return cc.db.selectFrom('audit_events').selectAll().where('id', '>', id).orderBy('id').execute();
}

/** The same by its types alone. */
export async function eventTypesAfter(id: number): Promise<string[]> {
  return (await eventsAfter(id)).map(({ type }) => type);
}
