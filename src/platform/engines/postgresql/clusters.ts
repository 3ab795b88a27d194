import { existsSync, lstatSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import Type from 'typebox';
import { readCheckedFile } from '../../../kit/checked.ts';
import { CupolaError } from '../../../kit/errors.ts';
import { emptyTree, makeDirectory, readPlainFile, removeTree, replaceFile } from '../../../kit/owned-files.ts';
import { run } from '../../../kit/process.ts';
import type { Account } from '../../account.ts';

/*
 * A cluster of each major version has a directory of its own, named by it, below one of root's. Before there were several, the only one
 * lay at another place, where code of that time looks for it.
 */

/** Where clusters lie. */
export interface ClusterPlaces {
  /** Root's directory; a cluster in it for each major version. */
  clusters: string;
  /** The one that code of before knows. */
  former: string;
  account: Account;
}

export interface Cluster {
  /** The major version of PostgreSQL. */
  version: number;
  directory: string;
}

/** What there is of clusters. */
export interface Clusters {
  /** Null in a new installation. */
  inUse: Cluster | null;
  /** What the one in use was made of, as long as there is a way back to it. */
  wayBack: Cluster | null;
  /** Data of former versions that nothing comes back to. */
  remains: readonly Cluster[];
  /** Carried over from one that has served again since: out of date. */
  stale: readonly Cluster[];
}

/** Of a cluster that was carried over. */
const Origin = Type.Object({
  from: Type.Integer(),
  /** SHA-256 of the former cluster's control file, which changes whenever that is started. */
  control: Type.String(),
});

const Served = Type.Object({ version: Type.Integer() });

const VERSION = 'PG_VERSION';
/** Without it no server starts. */
const CONTROL = 'global/pg_control';
const MOST_VERSION_BYTES = 64;

/** Looks at what lies there. Throws `invalid_file`, `data_ambiguous`. */
export async function findClusters(places: ClusterPlaces): Promise<Clusters> {
  const all = listClusters(places);
  const stale: Cluster[] = [];
  for (const [index, inUse] of all.entries()) {
    const origin = originOf(places, inUse);
    const from = all.slice(index + 1).find(({ version }) => version === origin?.from) ?? null;
    const isOpen = from !== null && isStartable(from);
    if (origin && isOpen && (await controlOf(places, from)) !== origin.control) {
      stale.push(inUse);
      continue;
    }
    if (!origin && all.slice(index + 1).some(isStartable)) throw unrelated(all);
    const wayBack = isOpen ? from : null;
    const remains = all.slice(index + 1).filter((one) => one !== wayBack);
    return { inUse, wayBack, remains, stale };
  }
  return { inUse: null, wayBack: null, remains: [], stale };
}

/** One was made while the disk of the other was not mounted. */
function unrelated(all: readonly Cluster[]): CupolaError {
  const places = all.map(({ version, directory }) => `PostgreSQL ${version} in ${directory}`).join(', ');
  return new CupolaError(
    'data_ambiguous',
    `there are data that know nothing of each other: ${places}; move those away that are not meant`,
  );
}

/** Which version served last by that note; null where none ever did. Throws `invalid_file`. */
export function servedVersion(file: string): number | null {
  return existsSync(file) ? readCheckedFile(file, Served).version : null;
}

/** So that data that are not there are missed. */
export function noteServed(file: string, version: number): void {
  if (servedVersion(file) !== version) replaceFile(file, JSON.stringify({ version }), { mode: 0o600, flush: true });
}

/** Where the cluster of a version lies, once there is one. */
export function clusterOf({ clusters }: Pick<ClusterPlaces, 'clusters'>, version: number): Cluster {
  return { version, directory: join(clusters, String(version)) };
}

/** What the next one of that version is made in; it gets its name when it is whole. */
export function makingOf(cluster: Cluster): string {
  return `${cluster.directory}.making`;
}

/** Writes down what a cluster is made of, before it has its name. The former must not be started meanwhile. */
export async function noteOrigin(places: ClusterPlaces, made: Cluster, from: Cluster): Promise<void> {
  const origin = { from: from.version, control: await controlOf(places, from) };
  replaceFile(originFile(places, made), JSON.stringify(origin), { mode: 0o600, flush: true });
}

/** There is no way back to it: no server starts it any more, of whichever version of the platform. */
export async function closeCluster({ account }: Pick<ClusterPlaces, 'account'>, { directory }: Cluster): Promise<void> {
  const control = join(directory, CONTROL);
  await run('mv', ['-T', '--', control, `${control}.old`], { account, cwd: '/', showWords: true });
}

/** Deletes a cluster that nothing runs on. */
export async function removeCluster(places: ClusterPlaces, cluster: Cluster): Promise<void> {
  if (cluster.directory === places.former) {
    await emptyTree(places.former, [places.former]); // what a disk of its own has for itself stays
    barFormer(places, null);
    return;
  }
  // Half of one must not pass for a whole one.
  const going = makingOf(cluster);
  await removeTree(going);
  renameSync(cluster.directory, going);
  await removeTree(going);
  await removeTree(originFile(places, cluster));
}

/**
 * Code of before makes a cluster where it finds none, and would begin with no data: it finds one of a version that it cannot start. Nothing
 * where a cluster lies there. `version`: what is in use; null: whatever it is.
 */
export function barFormer({ former }: Pick<ClusterPlaces, 'former'>, version: number | null): void {
  if (existsSync(join(former, VERSION))) return;
  makeDirectory(former, { mode: 0o700 });
  replaceFile(join(former, VERSION), `${version ?? 'later'}\n`, { mode: 0o644 });
}

function listClusters(places: ClusterPlaces): Cluster[] {
  const { clusters, former } = places;
  const names = existsSync(clusters) ? readdirSync(clusters) : [];
  const versions = names.filter((name) => /^\d+$/.test(name)).map(Number);
  const version = existsSync(join(former, 'global'))
    ? Number(readPlainFile(join(former, VERSION), MOST_VERSION_BYTES))
    : 0;
  const all = versions.map((one) => clusterOf(places, one));
  if (version > 0) all.push({ version, directory: former });
  return all.sort((one, other) => other.version - one.version);
}

function originFile({ clusters }: ClusterPlaces, { version }: Cluster): string {
  return join(clusters, `${version}.json`);
}

function originOf(places: ClusterPlaces, cluster: Cluster) {
  const file = originFile(places, cluster);
  return cluster.directory !== places.former && existsSync(file) ? readCheckedFile(file, Origin) : null;
}

function isStartable({ directory }: Cluster): boolean {
  return lstatSync(join(directory, CONTROL), { throwIfNoEntry: false })?.isFile() === true;
}

/** Read by its own account: it may have put there what it likes. */
async function controlOf({ account }: ClusterPlaces, { directory }: Cluster): Promise<string> {
  const said = await run('sha256sum', ['--', join(directory, CONTROL)], { account, cwd: '/', showWords: true });
  return said.slice(0, 64);
}
