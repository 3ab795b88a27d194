import { access, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import Type from 'typebox';
import { CupolaError } from '../../kit/errors.ts';
import { writeTarFragment } from './archive.ts';
import type { Unpacked } from './dependency.ts';
import { tool } from './tool.ts';

/** How the buildpack's Debian packages become one tree that runs from wherever it lies. */
export const Runtime = Type.Object({
  name: Type.String({ pattern: '^[a-z]+$' }),
  /** The package whose version the runtime has. */
  versionOf: Type.String(),
  /** Paths of the tree that no app needs, which every droplet is spared. */
  drop: Type.Optional(Type.Array(Type.String({ pattern: '^[a-z][A-Za-z0-9_./-]*$' }))),
});
export type Runtime = Type.Static<typeof Runtime>;

/** Of every package: documentation, and what only an installation reads. */
const UNREAD = ['doc', 'man', 'lintian', 'doc-base', 'info', 'locale', 'bug', 'apport', 'menu', 'systemtap', 'ri'];

/**
 * prepacked/<name>-<version>: what the packages have below /usr and /lib, as one tree, and its ready-made archive. What they
 * would leave in /etc is kept as etc, for a buildpack to read.
 */
export async function placeRuntime(
  tree: string,
  runtime: Runtime,
  parts: ReadonlyMap<string, Unpacked>,
): Promise<void> {
  const main = parts.get(runtime.versionOf);
  if (main === undefined) {
    throw new CupolaError('dependency_missing', `${runtime.versionOf} is not among the dependencies`);
  }
  const name = `${runtime.name}-${upstreamVersion(main.version)}`;
  const target = join(tree, 'prepacked', name);
  await tool('mkdir', ['-p', target]);
  for (const { directory } of parts.values()) {
    if (await exists(join(directory, 'usr'))) await tool('cp', ['-al', `${directory}/usr/.`, target]);
    for (const top of ['lib', 'bin', 'sbin', 'etc']) {
      if (await exists(join(directory, top))) await tool('cp', ['-al', join(directory, top), target]);
    }
  }
  const unwanted = [...UNREAD.map((directory) => `share/${directory}`), ...(runtime.drop ?? [])];
  await Promise.all(unwanted.map((path) => rm(join(target, path), { recursive: true, force: true })));
  // Links to places outside, into what was dropped, and into what other packages of the distribution would have brought.
  await tool('find', [target, '-lname', '/*', '-delete']);
  await tool('find', [target, '-xtype', 'l', '-delete']);
  await tool('find', [target, '-mindepth', '1', '-type', 'd', '-empty', '-delete']);
  const archive = `${target}.tar.gz`;
  await writeTarFragment(target, `deps/.prepacked/${name}`, `${archive}.new`);
  await rename(`${archive}.new`, archive);
}

/** "3.11.2" of "3.11.2-6+deb12u9", "1.22.1" of "1:1.22.1-9", and "3.1.2" of "3.1.7+really3.1.2-0", which went back. */
export function upstreamVersion(version: string): string {
  const really = /\+really([0-9.]+)/.exec(version);
  return really ? really[1]! : version.replace(/^\d+:/, '').replace(/[-+~].*$/, '');
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
