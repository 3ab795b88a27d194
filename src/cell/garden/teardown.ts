import { existsSync } from 'node:fs';
import { rm, rmdir } from 'node:fs/promises';
import { clearDirectory, unmountBelow } from './mounts.ts';
import { assembleParts, cgroupParent } from './parts.ts';
import { loadRecords } from './records.ts';
import { removeContainer, removeOrphans } from './removal.ts';
import type { GardenSettings } from './settings.ts';

/**
 * Removes everything a garden made: containers, mounts, layers, links, packet filter, cgroups, directories. A disk of the operator's
 * that is mounted at or below its root is emptied and stays.
 */
export async function teardownGarden(settings: GardenSettings): Promise<void> {
  const parts = assembleParts(settings);
  const { paths } = parts;
  for (const { name } of await loadRecords(paths)) await removeContainer(parts, name);
  await removeOrphans(parts, new Set());
  await parts.network.tearDown();
  await parts.cgroups.remove(`/${cgroupParent(parts.prefix)}`);
  const staying = await clearDirectory(paths.root);
  if (staying.length === 0 && existsSync(paths.root)) await rmdir(paths.root);
  await unmountBelow(paths.run);
  await rm(paths.run, { recursive: true, force: true });
}
