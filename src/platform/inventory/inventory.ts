import { existsSync } from 'node:fs';
import { builtStacks, type Stack } from '../../cell/stack/stack.ts';
import { chosenImage, type EngineImage, engineImages } from '../engines/image/image.ts';
import { PACKAGES } from '../engines/image/packages.ts';
import { neededPackages } from '../host/packages.ts';
import { type Layout, layoutOf } from '../layout.ts';
import type { PlatformSettings } from '../settings/schema.ts';
import { buildpackParts } from './buildpacks.ts';
import { debianPackages, debianSoftware, distributionOf } from './debian-tree.ts';
import { npmSoftware } from './npm.ts';
import { usersOf } from './running.ts';
import type { Inventory, Part } from './software.ts';

/** What no file of the platform tells. */
const UNKNOWN = [
  'What apps bring with them: their droplets, container images and files.',
  'Buildpacks that were uploaded, or that an app names by an address.',
];

/**
 * Every package of what is installed, read from its files: the platform need not run (VUL-01). `project`: whose npm packages. Null for
 * settings: nothing is installed. Throws `invalid_file`, `engine_image_unsafe`.
 */
export async function takeInventory(settings: PlatformSettings | null, project: string): Promise<Inventory> {
  const npm = npmPart(project);
  const unknown = [...UNKNOWN];
  if (!npm.isInstalled) unknown.unshift('Which npm packages are installed: those are listed that would be.');
  if (settings === null) {
    return { parts: [npm.part], unknown: ['Engines, stacks and buildpacks: nothing is installed.', ...unknown] };
  }
  const layout = layoutOf(settings);
  const engines = await engineParts(layout);
  const stacks = (await builtStacks(layout.stacks)).map(stackPart);
  const buildpacks = await buildpackParts(layout);
  const missing = Object.entries({ 'image of the engines': engines, stack: stacks, buildpacks })
    .filter(([, parts]) => parts.length === 0)
    .map(([what]) => `The ${what}: there is none yet; ./cupola up makes it.`);
  return { parts: [...engines, machinePart(), ...stacks, ...buildpacks, npm.part], unknown: [...missing, ...unknown] };
}

/** Those that are in use: what this version of the code chose, and what processes still run of. One that is only kept to go back to is not. */
async function engineParts({ engines: directory, settings }: Layout): Promise<Part[]> {
  const images = await engineImages(directory);
  const chosen = chosenImage(directory, settings.engineSources)?.digest;
  const users = usersOf(images.map(({ root }) => root));
  return images.flatMap((image) => {
    const running = counted(users.get(image.root) ?? []);
    return image.digest === chosen || running !== '' ? [enginePart(image, running)] : [];
  });
}

function enginePart({ root, digest }: EngineImage, running: string): Part {
  return {
    ...{ kind: 'engines', name: 'engines', version: digest, hashes: [] },
    runsIn: running === '' ? 'nothing runs of it now' : running,
    packages: debianSoftware(root, debianPackages(root), (name) => PACKAGES[name]),
  };
}

function stackPart({ name, version, rootfs, isCurrent }: Stack & { isCurrent: boolean }): Part {
  return {
    ...{ kind: 'stack', name, version, hashes: [] },
    runsIn: isCurrent
      ? 'containers of apps, tasks and stagings'
      : 'containers of before an upgrade, while there are any',
    packages: debianSoftware(rootfs, debianPackages(rootfs), () => undefined),
  };
}

/** What of the machine's own packages the platform runs; what else is installed there is not the platform's. */
function machinePart(): Part {
  const needed = neededPackages();
  const used = (name: string) => needed.get(name)?.join(', ');
  const all = existsSync('/var/lib/dpkg/status') ? debianPackages('/') : [];
  const { id, release } = distributionOf('/');
  return {
    ...{ kind: 'machine', name: id, version: release, hashes: [] },
    runsIn: 'the machine itself',
    packages: debianSoftware('/', all, used).filter(({ usedFor }) => usedFor !== ''),
  };
}

function npmPart(project: string): { part: Part; isInstalled: boolean } {
  const { version, packages, isInstalled } = npmSoftware(project);
  const runsIn = "supervisor, control's processes, cells and ./cupola";
  return { isInstalled, part: { kind: 'npm', name: 'cupola', version, hashes: [], runsIn, packages } };
}

/** "conmon (3), haproxy" */
function counted(names: readonly string[]): string {
  const groups = [...Map.groupBy(names, (name) => name)].toSorted(([a], [b]) => a.localeCompare(b));
  return groups.map(([name, { length }]) => (length === 1 ? name : `${name} (${length})`)).join(', ');
}
