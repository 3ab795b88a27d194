import type { Static } from 'typebox';
import type { Db } from '../database.ts';
import { unprocessable } from '../errors.ts';
import type { Lifecycle, LifecycleInput } from '../lifecycle.ts';
import { DEFAULT_STACK, isStack } from '../stacks/store.ts';
import { checkAddress, isBuildpackAddress } from './custom.ts';
import { installedNames } from './store.ts';

/** What a new app's lifecycle may be. */
export function lifecycleTypeOf(lifecycle: Static<typeof LifecycleInput> | undefined): Lifecycle {
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
  lifecycle: Static<typeof LifecycleInput> | undefined,
  before: { lifecycle: Lifecycle; buildpacks: readonly string[]; stack: string },
): Promise<{ lifecycle: Lifecycle; buildpacks: string[]; stack: string }> {
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
  const isNewStack = after.stack !== before.stack || !before.stack;
  if (isNewStack && !(await isStack(db, after.stack))) throw unprocessable('Stack must be an existing stack');
  await checkBuildpacks(db, after.buildpacks);
  return after;
}

async function checkBuildpacks(db: Db, wanted: readonly string[]): Promise<void> {
  for (const address of wanted.filter(isBuildpackAddress)) checkAddress(address);
  const names = wanted.filter((name) => !isBuildpackAddress(name));
  const known = await installedNames(db, names);
  for (const name of names) {
    if (!known.has(name)) throw unprocessable(`Buildpack "${name}" must be an existing admin buildpack`);
  }
}
