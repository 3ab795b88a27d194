import { readdirSync } from 'node:fs';
import { clusterPlacesOf, knowsClusters, tooNew } from './components/postgresql.ts';
import { chosenImage } from './engines/image/image.ts';
import { requireRoom } from './engines/postgresql/carry-over.ts';
import { type ClusterPlaces, findClusters, removeCluster } from './engines/postgresql/clusters.ts';
import { newestPrograms, requirePrograms, versionsIn } from './engines/postgresql/programs.ts';
import { endProcessesAs, ensureAccounts } from './host/accounts.ts';
import type { Layout } from './layout.ts';
import { showClusters } from './supervisor/directories.ts';

/*
 * Data of former versions of PostgreSQL, as commands see them. An installation's lock is held.
 */

/**
 * Throws where data could not be carried over to the version of PostgreSQL that the chosen image has, as far as that can be seen before
 * anything is changed: `engine_missing`, `no_room`.
 */
export async function requireCarryOver(layout: Layout): Promise<void> {
  const image = chosenImage(layout.engines, layout.settings.engineSources);
  const places = await shownPlaces(layout);
  const { inUse } = await findClusters(places);
  if (!inUse || !image) return;
  await requirePrograms(inUse.version, { chosen: image.root, images: layout.engines });
  if (inUse.version < newestPrograms(image.root).version) await requireRoom(places, inUse);
}

/** Throws `data_too_new` where an image has no programs for the data, which are of a later version. */
export async function requireReadable(layout: Layout, root: string): Promise<void> {
  const { inUse } = await findClusters(await shownPlaces(layout));
  if (inUse && inUse.version > newestPrograms(root).version) throw tooNew(inUse);
}

/** Deletes data that nothing comes back to; `versions`: of these alone. Gives which. */
export async function removeFormerData(layout: Layout, versions?: readonly number[]): Promise<number[]> {
  const places = await shownPlaces(layout);
  const { remains } = await findClusters(places);
  const going = remains.filter(({ version }) => versions?.includes(version) ?? true);
  for (const cluster of going) await removeCluster(places, cluster);
  return going.map(({ version }) => version);
}

/**
 * Of a supervisor that is gone, before other code's takes over: ends what carries data over. Throws `data_too_new` where a version serves that
 * such code does not know.
 */
export async function yieldData(layout: Layout, main: string): Promise<void> {
  const places = await shownPlaces(layout);
  const { inUse } = await findClusters(places);
  if (!inUse || knowsClusters(main)) return;
  // Where there is a way back still, nobody knows what has been written since.
  if (inUse.directory !== places.former) throw tooNew(inUse);
  await endProcessesAs([places.account], `${layout.run}/postgresql`);
}

/** Whether an image is still needed: the chosen one cannot read what the data are of. */
export function hasProgramsForData({ settings }: Layout, chosen: string): (root: string) => boolean {
  const present = versionsIn(chosen);
  const needed = clusterVersions(`${settings.dataDirectory}/databases`).filter((version) => !present.includes(version));
  return (root) => versionsIn(root).some((version) => needed.includes(version));
}

function clusterVersions(directory: string): number[] {
  try {
    return readdirSync(directory)
      .filter((name) => /^\d+$/.test(name))
      .map(Number);
  } catch {
    return []; // there is none yet
  }
}

async function shownPlaces(layout: Layout): Promise<ClusterPlaces> {
  const accounts = await ensureAccounts(layout.settings);
  await showClusters(layout);
  return clusterPlacesOf(layout, accounts.postgresql);
}
