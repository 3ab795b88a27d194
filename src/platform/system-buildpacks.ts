import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import Type, { type Static } from 'typebox';
import { readCheckedFile } from '../kit/checked.ts';
import { linkFile, replaceFile } from '../kit/owned-files.ts';
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

/**
 * Gives each zip one more name, in control's directory, whose blobstore takes it from there: hundreds of megabytes are neither copied nor
 * read, since root says their digests. The files stay root's; control may read them, and move or remove the name. Where one cannot have
 * another name, control copies it.
 */
export function linkBuildpacks(layout: Layout): void {
  const control = join(layout.settings.dataDirectory, 'control'); // where control sees it is another mount
  for (const { sha256, file } of systemBuildpacks(layout)) linkFile(linkedFileOf(control, sha256), file);
}

/** The other name of a zip with this digest, in control's directory. */
export const linkedFileOf = (control: string, sha256: string): string => join(control, `given-${sha256}.zip`);

/** Once control has started it has no use for those that it did not take. */
export function removeLinkedFiles(control: string): void {
  for (const name of readdirSync(control)) {
    if (/^given-[0-9a-f]{64}\.zip$/.test(name)) rmSync(join(control, name), { force: true });
  }
}

/** The buildpacks that `up` built, at the place where control may read them. Throws `invalid_file`. */
export function shownBuildpacks(layout: Layout): SystemBuildpackFile[] {
  return systemBuildpacks(layout).map(({ name, position, stack, file, sha256 }) => ({
    name,
    position,
    stack,
    sha256,
    file: file.replace(layout.buildpacks, `${layout.run}/buildpacks`),
  }));
}

/** The buildpacks that `up` built, where they lie; none before it did. Throws `invalid_file`. */
export function systemBuildpacks(layout: Layout): SystemBuildpackFile[] {
  return existsSync(listOf(layout)) ? readCheckedFile(listOf(layout), Type.Array(SystemBuildpackFile)) : [];
}
