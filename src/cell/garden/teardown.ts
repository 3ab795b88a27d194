import { rm } from 'node:fs/promises';
import { unmountBelow } from './mounts.ts';
import { assembleParts, cgroupParent } from './parts.ts';
import { loadRecords } from './records.ts';
import { removeContainer, removeOrphans } from './removal.ts';
import type { GardenSettings } from './settings.ts';

/** Removes everything a garden made: containers, mounts, layers, links, packet filter, cgroups, directories. For `cupola destroy`. */
export async function teardownGarden(settings: GardenSettings): Promise<void> {
  const parts = assembleParts(settings);
  const { paths } = parts;
  for (const { name } of await loadRecords(paths)) await removeContainer(parts, name);
  await removeOrphans(parts, new Set());
  await parts.network.tearDown();
  await parts.cgroups.remove(`/${cgroupParent(parts.prefix)}`);
  for (const directory of [paths.root, paths.run]) {
    await unmountBelow(directory);
    await rm(directory, { recursive: true, force: true });
  }
}
