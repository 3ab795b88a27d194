import { existsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { CupolaError, messageOf } from '../../kit/errors.ts';
import { makeDirectory } from '../../kit/owned-files.ts';
import { isAlive, type ProcessIdentity } from '../../kit/process.ts';
import type { Account } from '../account.ts';
import { carryOver, makeStatistics } from '../engines/postgresql/carry-over.ts';
import {
  barFormer,
  type Cluster,
  type ClusterPlaces,
  type Clusters,
  closeCluster,
  clusterOf,
  findClusters,
  noteServed,
  removeCluster,
  servedVersion,
} from '../engines/postgresql/clusters.ts';
import { binDirectory, FORMER_PIN, newestPrograms, programsOf } from '../engines/postgresql/programs.ts';
import {
  createRooms,
  endOrphans,
  type PostgresqlSettings,
  postgresqlFingerprint,
  preparePostgresql,
  reloadPostgresql,
  startPostgresql,
  stopPostgresql,
} from '../engines/postgresql/server.ts';
import type { Layout } from '../layout.ts';
import type { Component } from './component.ts';
import { digestOf, once } from './fingerprint.ts';
import type { Parts } from './parts.ts';

/** Roles and schemas of the rooms of control. */
const ROOMS = ['uaa', 'cc', 'bbs'];

/** Where the clusters of an installation are seen by their account. */
export function clusterPlacesOf({ run }: Pick<Layout, 'run'>, account: Account): ClusterPlaces {
  return { clusters: `${run}/postgresql/clusters`, former: `${run}/postgresql/data`, account };
}

/**
 * The database of all rooms of control. It is started with the programs of the version that its data are of; where the image has a newer one,
 * it is behind, and a replacement carries the data over.
 */
export function postgresql({ layout, engines, engineRoot, accounts, log }: Parts): Component {
  const base = `${layout.run}/postgresql`;
  const places = clusterPlacesOf(layout, accounts.postgresql);
  const own = {
    configDirectory: `${base}/config`,
    socketDirectory: `${base}/socket`,
    account: accounts.postgresql,
    client: accounts.control,
    database: 'cupola',
    rooms: ROOMS,
  };
  const sources = { chosen: engineRoot, images: layout.engines, pin: () => layout.enginePinOf(FORMER_PIN) };
  let behind = false;
  /** By this supervisor. Of what another one did it is not known what has been written since. */
  let carriedOver = false;

  /** Where there are none. Throws `data_missing` where there were. */
  const firstCluster = (): Cluster => {
    const served = servedVersion(layout.databaseFile);
    if (served === null) return clusterOf(places, newestPrograms(engineRoot).version);
    const message = `the data of PostgreSQL ${served} are gone: is a disk below ${layout.settings.dataDirectory} not mounted?`;
    throw new CupolaError('data_missing', message);
  };
  /** Of a way back that another supervisor opened it is not known what has been written since: there is none. */
  const closeOthers = async ({ wayBack }: Clusters): Promise<void> => {
    if (wayBack && !carriedOver) await closeCluster(places, wayBack);
  };
  const settingsOf = async ({ version, directory }: Cluster): Promise<PostgresqlSettings> => {
    return { ...own, programs: await programsOf(version, sources), dataDirectory: directory };
  };
  const serve = async (cluster: Cluster): Promise<ProcessIdentity> => {
    const settings = await settingsOf(cluster);
    makeDirectory(places.clusters, { mode: 0o755 });
    await preparePostgresql(settings);
    const identity = await startPostgresql(settings, logFileOf(cluster));
    await createRooms(settings);
    noteServed(layout.databaseFile, cluster.version);
    if (cluster.directory !== places.former) barFormer(places, cluster.version);
    const { wayBack } = await findClusters(places);
    behind = cluster.version < newestPrograms(engineRoot).version || wayBack !== null;
    return identity;
  };
  const goBack = async (): Promise<ProcessIdentity> => {
    const { inUse, wayBack } = await findClusters(places);
    if (inUse) await endCluster(await settingsOf(inUse));
    if (!inUse || !wayBack || !carriedOver) return serve(inUse ?? firstCluster());
    await removeCluster(places, inUse);
    return serve(wayBack);
  };
  return {
    name: 'postgresql',
    account: accounts.postgresql,
    stopSignal: 'SIGINT', // fast shutdown
    // What fails before it leaves nothing that only the former version had.
    replacedLast: true,
    fingerprint: once(() => digestOf(engines, ...postgresqlFingerprint(own))),
    isBehind: () => behind,
    start: async () => {
      const found = await findClusters(places);
      await closeOthers(found);
      return serve(found.inUse ?? firstCluster());
    },
    takeOver: async (running) => {
      const found = await findClusters(places);
      await closeOthers(found);
      const { inUse, stale } = found;
      const programs = newestPrograms(engineRoot);
      if (!inUse) throw new CupolaError('engine_failed', 'there are no data of what runs');
      const settings = await settingsOf(inUse);
      if (inUse.version >= programs.version) {
        const identity = await reloadPostgresql(settings, logFileOf(inUse), !runs(running, settings));
        await createRooms(settings);
        return identity;
      }
      carriedOver = true;
      try {
        const made = await carryOver({
          ...{ places, from: inUse, fromPrograms: settings.programs, programs, stale, log },
          configDirectory: own.configDirectory,
          workDirectory: `${base}/work`,
          mountPoint: `${base}/former-usr`,
          prepare: () => preparePostgresql(settings),
          stop: () => stopPostgresql(settings),
        });
        return await serve(made);
      } catch (error) {
        // Whatever came of it.
        if (!isAlive(running)) await goBack();
        throw error;
      }
    },
    goBack,
    settle: async () => {
      const { inUse, wayBack } = await findClusters(places);
      if (!inUse || !wayBack) return;
      await closeCluster(places, wayBack);
      log.info('data were carried over', { from: wayBack.version, to: inUse.version });
      behind = false;
      // Nobody waits for these: with much data they take long.
      void makeStatistics(await settingsOf(inUse), 'whole').catch((error: unknown) =>
        log.error('the database has rough statistics; ANALYZE makes better ones', { error: messageOf(error) }),
      );
    },
    yieldTo: async (main) => {
      const { inUse, wayBack } = await findClusters(places);
      if (!inUse || inUse.directory === places.former || knowsClusters(main)) return;
      if (!wayBack || !carriedOver) throw tooNew(inUse);
      await endCluster(await settingsOf(inUse));
    },
  };
}

/** Whether a supervisor of other code, whose main file this is, finds clusters of several versions. */
export function knowsClusters(main: string): boolean {
  return existsSync(join(dirname(main), 'engines/postgresql'));
}

/** Code of before would begin with no data, or old ones. */
export function tooNew({ version }: Cluster): CupolaError {
  return new CupolaError('data_too_new', `the data are of PostgreSQL ${version} now, which that code cannot read`);
}

/** Ends what runs on a cluster, whatever state it is in. */
async function endCluster(settings: PostgresqlSettings): Promise<void> {
  await stopPostgresql(settings);
  await endOrphans(settings);
}

function logFileOf({ directory }: Cluster): string {
  return `${directory}/server.log`;
}

/** Whether a running server is the program that it would be started from. */
function runs({ pid }: ProcessIdentity, { programs }: PostgresqlSettings): boolean {
  const path = join(binDirectory(programs.version), 'postgres');
  const file = programs.root === null ? path : join(programs.root, path);
  const [running, wanted] = [`/proc/${pid}/exe`, file].map((one) => statSync(one, { throwIfNoEntry: false }));
  return running !== undefined && running.dev === wanted?.dev && running.ino === wanted.ino;
}
