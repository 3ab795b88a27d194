import { existsSync } from 'node:fs';
import { join } from 'node:path';
import Type, { type Static } from 'typebox';
import { readCheckedFile } from '../kit/checked.ts';
import { replaceFile } from '../kit/owned-files.ts';
import type { SystemBuildpack } from './buildpacks/build.ts';
import type { Layout } from './layout.ts';

/** A buildpack that comes with the platform, as `up` built it. */
export const SystemBuildpackFile = Type.Object({
  name: Type.String(),
  position: Type.Integer(),
  stack: Type.String(),
  file: Type.String(),
  sha256: Type.String(),
});
export type SystemBuildpackFile = Static<typeof SystemBuildpackFile>;

const listOf = ({ settings }: Layout): string => join(settings.dataDirectory, 'buildpacks.json');

/** Lists what was built. */
export function writeBuildpacks(layout: Layout, built: readonly SystemBuildpack[]): void {
  replaceFile(listOf(layout), `${JSON.stringify(built, null, 2)}\n`, { mode: 0o600 });
}

/** The buildpacks that `up` built, at the place where control may read them. Throws `invalid_file`. */
export function shownBuildpacks(layout: Layout): SystemBuildpackFile[] {
  if (!existsSync(listOf(layout))) return [];
  const built = readCheckedFile(listOf(layout), Type.Array(SystemBuildpackFile));
  return built.map(({ name, position, stack, file, sha256 }) => ({
    name,
    position,
    stack,
    sha256,
    file: file.replace(layout.buildpacks, `${layout.run}/buildpacks`),
  }));
}
