import { PROJECT } from '../../kit/project.js';
import type { Account } from '../account.ts';
import type { PlatformStatus } from '../admin-messages.ts';
import { cellNames } from '../cell-settings.ts';
import type { ComponentCertificates } from '../certificates.ts';
import { clusterPlacesOf } from '../components/postgresql.ts';
import type { Supervised } from '../components/supervised.ts';
import { type Cluster, findClusters } from '../engines/postgresql/clusters.ts';
import type { FaultCounts } from '../fault-counts.ts';
import type { Health } from '../health.ts';
import type { Layout } from '../layout.ts';
import { publicUrl } from '../public-names.ts';
import { CONTROL, roleProcesses } from '../roles/cut.ts';
import type { Rotation } from '../rotation.ts';
import type { Updates } from '../updates.ts';
import { instanceExpiries } from './instances.ts';

/** What the supervisor knows of. */
export interface Watched {
  layout: Layout;
  /** The database's. */
  account: Account;
  /** Digest of the code. */
  program: string;
  /** The image that engines are started from. */
  engines: string;
  components: readonly Supervised[];
  certificates: ComponentCertificates;
  faults: FaultCounts;
  health: Health;
  updates: Updates;
  rotation: Rotation;
}

/** Everything at once, as it is now; what does not answer keeps nothing else from being told. */
export async function platformStatus(watched: Watched): Promise<PlatformStatus> {
  const { layout, components, health } = watched;
  const names = cellNames(layout.settings);
  const processes = roleProcesses(layout.settings).map((one) => one.name);
  const [faults, answers, routes, seen, instances, clusters] = await Promise.all([
    watched.faults.of([...processes, ...names]),
    Promise.all([health.apiAnswers(), ...processes.map((name) => name === CONTROL || health.answers(name))]),
    health.routes(),
    health.cellsSeen(),
    instanceExpiries(layout),
    findClusters(clusterPlacesOf(layout, watched.account)).catch(() => null),
  ]);
  const listed = components.map((supervised) => ({
    name: supervised.component.name,
    pid: supervised.identity?.pid ?? null,
    state: supervised.state,
    restarts: supervised.restarts,
    faults: faults.get(supervised.component.name) ?? 0,
    account: supervised.component.account?.name ?? 'root',
  }));
  const cells = names.map((id) => ({ id, lastSeen: seen.get(id) ?? null }));
  return {
    ready:
      answers.every(Boolean) &&
      listed.every((one) => one.state === 'running') &&
      cells.every((cell) => cell.lastSeen !== null),
    api: publicUrl(layout.settings, 'api'),
    components: listed,
    certificates: [...watched.certificates.expiries(), ...instances],
    cells,
    notRouted: routes?.refused ?? null,
    servedAsHttp1: routes?.servedAsHttp1 ?? null,
    supervisor: {
      pid: process.pid,
      project: PROJECT,
      program: watched.program,
      node: process.execPath,
      engines: watched.engines,
    },
    update: watched.updates.status,
    ...(clusters?.inUse && { database: databaseOf(clusters.inUse, clusters.remains) }),
    rotation: watched.rotation.status,
  };
}

/** Whether a process that was replaced at `since` is well, so that the next may be. */
export async function isWell(watched: Watched, name: string, since: number): Promise<boolean> {
  const { layout, components, health } = watched;
  const supervised = components.find(({ component }) => component.name === name);
  if (supervised?.state !== 'running') return false;
  if (name === CONTROL || name === 'router') return health.apiAnswers();
  if (name === 'postgresql') return (await health.apiAnswers()) && (await allSeen(watched, since));
  if (roleProcesses(layout.settings).some((one) => one.name === name)) return health.answers(name);
  if (!cellNames(layout.settings).includes(name)) return Date.now() - since > 1_000;
  return Date.parse((await health.cellsSeen()).get(name) ?? '') > since + 500;
}

function databaseOf({ version }: Cluster, remains: readonly Cluster[]) {
  return { version, remains: remains.map((one) => one.version) };
}

/** Whether every cell was heard of since: what they say is written down, and read again for whoever asks. */
async function allSeen({ layout, health }: Watched, since: number): Promise<boolean> {
  const seen = await health.cellsSeen();
  return cellNames(layout.settings).every((name) => Date.parse(seen.get(name) ?? '') > since + 500);
}
