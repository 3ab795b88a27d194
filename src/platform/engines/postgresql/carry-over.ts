import { renameSync } from 'node:fs';
import { join } from 'node:path';
import { diskSizes } from '../../../kit/disk-sizes.ts';
import { CupolaError } from '../../../kit/errors.ts';
import type { Logger } from '../../../kit/log.ts';
import { makeDirectory, removeTree } from '../../../kit/owned-files.ts';
import { PLAIN_ENVIRONMENT, type RunOptions, run } from '../../../kit/process.ts';
import type { Account } from '../../account.ts';
import { type Cluster, type ClusterPlaces, clusterOf, makingOf, noteOrigin, removeCluster } from './clusters.ts';
import { binDirectory, type PostgresqlPrograms } from './programs.ts';
import { fileOptions, makeCluster, type PostgresqlSettings } from './server.ts';

/** How data get from one major version of PostgreSQL to the next: by pg_upgrade, into a copy. */
export interface CarryOver {
  places: ClusterPlaces;
  /** The cluster in use; it is not changed. */
  from: Cluster;
  fromPrograms: PostgresqlPrograms;
  programs: PostgresqlPrograms;
  /** Clusters of that version that are out of date. */
  stale: readonly Cluster[];
  /** How its servers know their account. */
  configDirectory: string;
  /** The account's own: sockets of servers that serve nobody, and what pg_upgrade writes. */
  workDirectory: string;
  /** Root's own, empty. */
  mountPoint: string;
  /** Writes the servers' configuration. */
  prepare(): Promise<void>;
  /** Ends the server of `from` in order. What is tried before costs nobody anything. */
  stop(): Promise<void>;
  log: Logger;
}

/** Of what pg_upgrade said last. */
const MOST_TOLD = 1_000;
const LONG_MS = 60 * 60_000;
/** What a cluster has before there are data in it, its log of changes among it, and some more for what is written meanwhile. */
const EMPTY_BYTES = 256 * 1024 ** 2;
/** Not carried over: the log of changes is begun anew, and the server's own log. */
const NOT_COPIED = ['pg_wal', 'server.log'];

/**
 * Makes a cluster of the version of `programs` with the data of `from`, and gives it. It appears whole or not at all. `from` is stopped when
 * this returns or throws, or runs still where it throws early. Throws `no_room`, `carry_over_failed`, `command_failed`.
 */
export async function carryOver(options: CarryOver): Promise<Cluster> {
  const { places, from, fromPrograms, programs, log, workDirectory } = options;
  const { account } = places;
  const made = clusterOf(places, programs.version);
  const making = makingOf(made);
  const step = (name: string): void =>
    log.info(`carrying data over: ${name}`, { from: from.version, to: made.version });
  step('preparing');
  for (const one of options.stale) await removeCluster(places, one);
  await removeTree(making);
  await requireRoom(places, from);
  await removeTree(workDirectory);
  makeDirectory(workDirectory, { mode: 0o700, owner: account });
  makeDirectory(options.mountPoint, { mode: 0o700 });
  try {
    await options.prepare();
    await makeCluster({ programs, account }, making, await sameOptions(fromPrograms, from, account, made.version));
    const shares = await sharesBlocks(from.directory, making, account);
    step('checking');
    await upgrade(options, making, ['--check']);
    step('stopping the former server');
    await options.stop();
    step('copying');
    await upgrade(options, making, shares ? ['--clone'] : []);
    step('trying the server');
    await tryServer(options, making);
    step('done');
    await noteOrigin(places, made, from);
    renameSync(making, made.directory);
    return made;
  } finally {
    await removeTree(making);
    await removeTree(workDirectory);
  }
}

/** Throws `no_room` where the disk has too little for one more copy of a cluster. */
export async function requireRoom({ clusters, account }: ClusterPlaces, from: Cluster): Promise<void> {
  const left = NOT_COPIED.map((name) => `--exclude=${name}`);
  const said = await run('du', ['--summarize', '--block-size=1', ...left, '--', from.directory], {
    account,
    cwd: '/',
    showWords: true,
  });
  const shares = await sharesBlocks(from.directory, clusters, { uid: 0, gid: 0 });
  const needed = EMPTY_BYTES + (shares ? 0 : Number.parseInt(said, 10));
  const { free } = await diskSizes(clusters);
  if (free >= needed) return;
  const megabytes = (bytes: number): string => `${Math.ceil(bytes / 1024 ** 2)} MB`;
  throw new CupolaError(
    'no_room',
    `the data of PostgreSQL ${from.version} are copied for the next version, which needs ${megabytes(needed)} free on the disk of the data directory; it has ${megabytes(free)}`,
  );
}

/** Whether the file system copies files without taking room for them. */
async function sharesBlocks(from: string, to: string, account: { uid: number; gid: number }): Promise<boolean> {
  const probe = join(to, '.probe');
  try {
    await run('cp', ['--reflink=always', '--', join(from, 'PG_VERSION'), probe], { account, cwd: '/' });
    return true;
  } catch {
    return false;
  } finally {
    await run('rm', ['-f', '--', probe], { account, cwd: '/' });
  }
}

/** What both clusters must have alike: from 18 on, new ones have checksums unless told. */
async function sameOptions(
  programs: PostgresqlPrograms,
  { directory }: Cluster,
  account: Account,
  version: number,
): Promise<string[]> {
  const said = await programs.run('pg_controldata', ['-D', directory], { account, cwd: '/', showWords: true });
  const has = !/^Data page checksum version: +0$/m.test(said);
  const none = version >= 18 ? ['--no-data-checksums'] : [];
  const [, megabytes] = /^Bytes per WAL segment: +(\d+)$/m.exec(said) ?? [];
  const segment = megabytes === undefined ? [] : [`--wal-segsize=${Number(megabytes) / 1024 ** 2}`];
  return [...(has ? ['--data-checksums'] : none), ...segment];
}

/** pg_upgrade, as the clusters' own account; its servers hear no network, and their sockets are its alone. */
async function upgrade(options: CarryOver, making: string, more: readonly string[]): Promise<void> {
  const { places, from, fromPrograms, programs, workDirectory } = options;
  const files = fileOptions(options);
  const args = [
    ...['--old-bindir', binDirectory(from.version), '--new-bindir', binDirectory(programs.version)],
    ...['--old-datadir', from.directory, '--new-datadir', making],
    ...['--old-options', files, '--new-options', files],
    ...['--username', 'postgres', '--socketdir', workDirectory, ...more],
  ];
  await withBoth(
    options,
    fromPrograms.root,
    programs.root,
    [join(binDirectory(programs.version), 'pg_upgrade'), ...args],
    {
      account: places.account,
      cwd: workDirectory,
      timeoutMs: LONG_MS,
    },
  );
}

/** Its programs of both versions in one place: those of the new tree, and below them what only the old one has, libraries too. */
const BOTH = `new=$1 old=$2 point=$3
shift 3
if [ "$new" != "$old" ]; then
  mount --bind "$old" "$point"
  [ "$new" = /usr ] || mount --bind "$new" /usr
  # The machine's list of libraries can name others before those.
  [ ! -e /etc/ld.so.cache ] || mount --bind /dev/null /etc/ld.so.cache
  mount -t overlay -o ro,nosuid,nodev,lowerdir="/usr:$point" overlay /usr
  umount "$point"
fi
exec "$@"`;

async function withBoth(
  { mountPoint }: Pick<CarryOver, 'mountPoint'>,
  oldRoot: string | null,
  newRoot: string | null,
  command: readonly string[],
  { account, cwd, ...options }: RunOptions & { account: Account; cwd: string },
): Promise<void> {
  const [newer, older] = [newRoot, oldRoot].map((root) => join(root ?? '/', 'usr'));
  const as = [`--reuid=${account.uid}`, `--regid=${account.gid}`, '--clear-groups', '--'];
  const mounts = [
    'unshare',
    '--mount',
    '--propagation',
    'private',
    'sh',
    '-ec',
    BOTH,
    'sh',
    newer!,
    older!,
    mountPoint,
  ];
  const [program = '', ...words] = [...mounts, 'setpriv', ...as, ...command];
  let said = '';
  const onOutput = (text: string): void => {
    said = `${said}${text}`.slice(-MOST_TOLD);
  };
  await run(program, words, { ...options, cwd, onOutput, showWords: true }).catch((cause: unknown) => {
    // pg_upgrade says on its standard output what is wrong.
    const words = said.split('\n').map((line) => line.trim().replace(/ +/g, ' '));
    const told = words.filter((line) => line !== '' && !/ ok$|^-+$/.test(line)).join('; ');
    throw new CupolaError('carry_over_failed', `PostgreSQL's data could not be carried over: ${told}`, { cause });
  });
}

/**
 * Starts the new server on a socket of its own, has it read some of each table, which makes rough statistics, and ends it: it starts, and what
 * it reads is whole, before anybody writes to it.
 */
async function tryServer(
  { places, programs, configDirectory, workDirectory }: CarryOver,
  making: string,
): Promise<void> {
  const { account } = places;
  const own = `${fileOptions({ configDirectory })} -c unix_socket_directories=${workDirectory}`;
  const log = join(workDirectory, 'trial.log');
  const control = (...args: string[]): Promise<string> =>
    programs.run('pg_ctl', ['-D', making, ...args], { account, cwd: '/', timeoutMs: LONG_MS, showWords: true });
  await control('-o', own, '-l', log, '-w', '-t', '60', 'start');
  try {
    await makeStatistics({ programs, account, socketDirectory: workDirectory }, 'rough');
  } finally {
    await control('-w', '-t', '60', '-m', 'fast', 'stop');
  }
}

/** By which the server plans its queries; pg_upgrade carries none over, and a table that nobody changes would never get any. */
export async function makeStatistics(
  { programs, account, socketDirectory }: Pick<PostgresqlSettings, 'programs' | 'account' | 'socketDirectory'>,
  how: 'rough' | 'whole',
): Promise<void> {
  const env =
    how === 'rough' ? { ...PLAIN_ENVIRONMENT, PGOPTIONS: '-c default_statistics_target=1' } : PLAIN_ENVIRONMENT;
  const args = ['--host', socketDirectory, '--username', 'postgres', '--all', '--analyze-only'];
  await programs.run('vacuumdb', args, { account, cwd: '/', timeoutMs: LONG_MS, showWords: true, env });
}
