import { type Selectable, sql } from 'kysely';
import type { Static } from 'typebox';
import type { Lifecycle } from '../apps/schema.ts';
import type { BuildpackTable, Lifecycle as LifecycleType, StackTable } from '../apps/tables.ts';
import type { Db } from '../database.ts';
import { CfError, unprocessable } from '../errors.ts';
import { checkAddress, isAddress } from './custom.ts';

export type Buildpack = Selectable<BuildpackTable>;
export type Stack = Selectable<StackTable>;

/** The stack an app gets that names none. */
export const DEFAULT_STACK = 'debian12';

/** What a new app's lifecycle may be. */
export function lifecycleTypeOf(lifecycle: Static<typeof Lifecycle> | undefined): LifecycleType {
  const type = lifecycle?.type ?? 'buildpack';
  if (type === 'buildpack' || type === 'docker') return type;
  throw unprocessable('Lifecycle type is not included in the list: buildpack, docker');
}

/**
 * What a body's lifecycle asks for, checked; fields that are absent stay as in `before`. What is of buildpacks stays buildpacks', what is
 * of images stays images'.
 */
export async function readLifecycle(
  db: Db,
  lifecycle: Static<typeof Lifecycle> | undefined,
  before: { lifecycle: LifecycleType; buildpacks: readonly string[]; stack: string },
): Promise<{ lifecycle: LifecycleType; buildpacks: string[]; stack: string }> {
  if (lifecycle?.type !== undefined && lifecycleTypeOf(lifecycle) !== before.lifecycle) {
    throw unprocessable('Lifecycle type cannot be changed');
  }
  if (before.lifecycle === 'docker') {
    const unknown = Object.keys(lifecycle?.data ?? {});
    if (unknown.length > 0) {
      throw unprocessable(`Lifecycle data Unknown field(s): ${unknown.map((name) => `'${name}'`).join(', ')}`);
    }
    return { lifecycle: 'docker', buildpacks: [], stack: before.stack };
  }
  const { buildpacks, stack } = lifecycle?.data ?? {};
  const after = {
    lifecycle: before.lifecycle,
    buildpacks: [...(buildpacks === undefined ? before.buildpacks : (buildpacks ?? []))],
    stack: stack === undefined ? before.stack : (stack ?? DEFAULT_STACK),
  };
  if (after.stack !== before.stack || !before.stack) await checkStack(db, after.stack);
  await checkBuildpacks(db, after.buildpacks);
  return after;
}

async function checkStack(db: Db, name: string): Promise<void> {
  const known = await db.selectFrom('stacks').select('guid').where('name', '=', name).executeTakeFirst();
  if (!known) throw unprocessable('Stack must be an existing stack');
}

async function checkBuildpacks(db: Db, wanted: readonly string[]): Promise<void> {
  const names = wanted.filter((name) => !isAddress(name));
  for (const address of wanted.filter(isAddress)) checkAddress(address);
  if (names.length === 0) return;
  const known = new Set(
    (await db.selectFrom('buildpacks').select('name').where('name', 'in', names).execute()).map((row) => row.name),
  );
  for (const name of names) {
    if (!known.has(name)) throw unprocessable(`Buildpack "${name}" must be an existing admin buildpack`);
  }
}

/** A buildpack that a build runs; what lies in the blobstore of it, or null for one that the container fetches by its name. */
export interface ChosenBuildpack {
  name: string;
  /** Changes with the content, as far as that is known. */
  key: string;
  blob: { key: string; sha256: string } | null;
}

/**
 * The buildpacks a build runs: those named, in that order, or all that are enabled and fit the stack, by position. Of two
 * with the same name the one for this very stack is taken. Throws NoBuildpacksFound where nothing is left.
 */
export async function chooseBuildpacks(db: Db, names: readonly string[], stack: string): Promise<ChosenBuildpack[]> {
  const rows = await db
    .selectFrom('buildpacks')
    .selectAll()
    .where('state', '=', 'READY')
    .where('enabled', '=', true)
    .where((eb) => eb.or([eb('stack', 'is', null), eb('stack', '=', stack)]))
    .orderBy('position')
    .orderBy('id')
    .execute();
  const usable = rows.flatMap(({ name, stack: own, blob_key: key, sha256 }) =>
    key === null || sha256 === null ? [] : [{ name, key, blob: { key, sha256 }, exact: own === stack }],
  );
  if (names.length === 0) {
    if (usable.length === 0) throw new CfError('NoBuildpacksFound', 'There are no buildpacks available');
    return usable;
  }
  return names.map((name) => {
    if (isAddress(name)) return { name, key: name, blob: null };
    const found = usable.find((row) => row.name === name && row.exact) ?? usable.find((row) => row.name === name);
    if (!found) throw unprocessable(`Buildpack "${name}" is not available for stack "${stack}"`);
    return found;
  });
}

export function nameTaken(name: string, stack: string | null): CfError {
  return unprocessable(
    stack === null
      ? `Buildpack with name '${name}' and an unassigned stack already exists`
      : `The buildpack name '${name}' with stack '${stack}' is already in use`,
  );
}

/** Moves those at and after a position by one, and gives the position that is free then; without one, the end. */
export async function makeRoom(trx: Db, wanted: number | undefined, moving?: Buildpack): Promise<number> {
  await sql`LOCK TABLE buildpacks IN SHARE ROW EXCLUSIVE MODE`.execute(trx);
  const guid = moving?.guid ?? '';
  const { count } = await trx
    .selectFrom('buildpacks')
    .select(sql<number>`count(*)`.as('count'))
    .where('guid', '!=', guid)
    .executeTakeFirstOrThrow();
  const position = Math.min(wanted ?? (count === 0 ? 1 : count + 1), count + 1);
  await sql`UPDATE buildpacks SET position = ordered.place + (ordered.place >= ${position})::int
    FROM (SELECT guid, row_number() OVER (ORDER BY position, id)::int AS place FROM buildpacks WHERE guid <> ${guid}) AS ordered
    WHERE ordered.guid = buildpacks.guid`.execute(trx);
  return position;
}
