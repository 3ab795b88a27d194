import type { Selectable } from 'kysely';
import type { Static } from 'typebox';
import type { Lifecycle } from '../apps/schema.ts';
import type { BuildpackTable, StackTable } from '../apps/tables.ts';
import type { Db } from '../database.ts';
import { CfError, unprocessable } from '../errors.ts';

export type Buildpack = Selectable<BuildpackTable>;
export type Stack = Selectable<StackTable>;

/** The stack an app gets that names none. */
export const DEFAULT_STACK = 'debian12';

/** What a body's lifecycle asks for, checked; fields that are absent stay as in `before`. */
export async function readLifecycle(
  db: Db,
  lifecycle: Static<typeof Lifecycle> | undefined,
  before: { buildpacks: readonly string[]; stack: string },
): Promise<{ buildpacks: string[]; stack: string }> {
  if (lifecycle?.type !== undefined && lifecycle.type !== 'buildpack') {
    throw unprocessable('Lifecycle type must be buildpack');
  }
  const { buildpacks, stack } = lifecycle?.data ?? {};
  const after = {
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

async function checkBuildpacks(db: Db, names: readonly string[]): Promise<void> {
  if (names.length === 0) return;
  const known = new Set(
    (await db.selectFrom('buildpacks').select('name').where('name', 'in', names).execute()).map((row) => row.name),
  );
  for (const name of names) {
    if (!known.has(name)) throw unprocessable(`Buildpack "${name}" must be an existing admin buildpack`);
  }
}

/**
 * The buildpacks a build runs: those named, in that order, or all that are enabled and fit the stack, by position.
 * Throws NoBuildpacksFound where nothing is left.
 */
export async function chooseBuildpacks(
  db: Db,
  names: readonly string[],
  stack: string,
): Promise<(Buildpack & { blob_key: string; sha256: string })[]> {
  const rows = await db
    .selectFrom('buildpacks')
    .selectAll()
    .where('state', '=', 'READY')
    .where('enabled', '=', true)
    .where((eb) => eb.or([eb('stack', 'is', null), eb('stack', '=', stack)]))
    .orderBy('position')
    .orderBy('id')
    .execute();
  const usable = rows.filter(
    (row): row is Buildpack & { blob_key: string; sha256: string } => row.blob_key !== null && row.sha256 !== null,
  );
  if (names.length === 0) {
    if (usable.length === 0) throw new CfError('NoBuildpacksFound', 'There are no buildpacks available');
    return usable;
  }
  return names.map((name) => {
    const found = usable.find((row) => row.name === name);
    if (!found) throw unprocessable(`Buildpack "${name}" is not available for stack "${stack}"`);
    return found;
  });
}
