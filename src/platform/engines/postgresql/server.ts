import { existsSync, readlinkSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { CupolaError } from '../../../kit/errors.ts';
import { type Access, makeDirectory, readPlainFile, removeTree, replaceFile } from '../../../kit/owned-files.ts';
import { commandOf, type ProcessIdentity, processesAs, processesWith, terminate } from '../../../kit/process.ts';
import type { Account } from '../../account.ts';
import type { PostgresqlPrograms } from './programs.ts';

export interface PostgresqlSettings {
  /** Of the cluster's major version. */
  programs: PostgresqlPrograms;
  /** The cluster; owned by `account`, 0700. */
  dataDirectory: string;
  /** Configuration and authentication: root's, and the account's to read. */
  configDirectory: string;
  /** Where the Unix socket lies; nothing listens on TCP, and the client's group alone can enter. */
  socketDirectory: string;
  account: Account;
  /** System account that may become the rooms' roles (peer authentication: there is no password to leak). */
  client: Account;
  database: string;
  /** One role and one schema of the same name a room. */
  rooms: readonly string[];
}

export const POSTGRESQL_PORT = 5432;

const CONFIG = 'postgresql.conf';
const HBA = 'pg_hba.conf';
const IDENT = 'pg_ident.conf';
/** In the cluster's directory, whatever configuration the server was told: what a superuser set, over what stands in that. */
const SET_BY_SUPERUSERS = 'postgresql.auto.conf';
/** Of postmaster.pid, which the server writes. */
const MOST_PID_BYTES = 4096;

/**
 * Makes the cluster where there is none, and always writes configuration and authentication anew. What its account has set over them
 * is taken away.
 */
export async function preparePostgresql(settings: PostgresqlSettings): Promise<void> {
  const { dataDirectory, configDirectory, socketDirectory, account } = settings;
  makeDirectory(socketDirectory, socketAccess(settings));
  makeDirectory(configDirectory, { mode: 0o750, owner: { uid: 0, gid: account.gid } });
  if (!existsSync(join(dataDirectory, 'PG_VERSION'))) {
    const making = `${dataDirectory}.making`;
    await makeCluster(settings, making);
    renameSync(making, dataDirectory);
  }
  makeDirectory(dataDirectory, { mode: 0o700, owner: account });
  await removeTree(join(dataDirectory, SET_BY_SUPERUSERS));
  const write = (name: string, text: string): void =>
    replaceFile(join(configDirectory, name), text, { mode: 0o640, owner: { uid: 0, gid: account.gid } });
  write(CONFIG, renderPostgresqlConfig(settings));
  write(HBA, 'local all all peer map=cupola\n');
  const map = [
    `cupola ${account.name} postgres`,
    ...settings.rooms.map((room) => `cupola ${settings.client.name} ${room}`),
  ];
  write(IDENT, `${map.join('\n')}\n`);
}

/**
 * An empty cluster, in a directory of root's. Collations are those of C.UTF-8, by bytes: no other version of a library sorts them otherwise. `more`:
 * options of initdb.
 */
export async function makeCluster(
  { programs, account }: Pick<PostgresqlSettings, 'programs' | 'account'>,
  directory: string,
  more: readonly string[] = [],
): Promise<void> {
  await removeTree(directory);
  makeDirectory(directory, { mode: 0o700, owner: account });
  const args = ['-D', directory, '-U', 'postgres', '-A', 'peer', '--encoding=UTF8', '--locale=C.UTF-8', ...more];
  await programs.run('initdb', args, { account, cwd: '/', timeoutMs: 120_000, showWords: true });
}

/**
 * A connection takes one of the server's few places before it is asked who it is, so nobody else gets as far. The socket itself is
 * anybody's: the server could give it to no group but its own.
 */
function socketAccess({ account, client }: Pick<PostgresqlSettings, 'account' | 'client'>): Access {
  return { mode: 0o710, owner: { uid: account.uid, gid: client.gid } };
}

/** What changes where a running server must be prepared anew. */
export function postgresqlFingerprint(settings: Omit<PostgresqlSettings, 'programs' | 'dataDirectory'>): string[] {
  return [renderPostgresqlConfig(settings), settings.rooms.join(), JSON.stringify(socketAccess(settings))];
}

/** postgresql.conf. */
function renderPostgresqlConfig({ socketDirectory }: Pick<PostgresqlSettings, 'socketDirectory'>): string {
  return [
    "listen_addresses = ''",
    `unix_socket_directories = '${socketDirectory}'`,
    'max_connections = 120',
    'shared_buffers = 64MB',
    'wal_level = replica',
    'synchronous_commit = on',
    'jit = off',
    "log_destination = 'stderr'",
    'log_statement = none',
    'log_min_error_statement = panic', // a failing statement may carry secrets
    // So may its error, which repeats values: whoever sent the statement is told. "log" is above "error" here.
    'log_min_messages = log',
    'log_error_verbosity = terse',
    "log_line_prefix = '%m [%p] %u '",
    "timezone = 'UTC'",
    '',
  ].join('\n');
}

/**
 * Brings a running server to a changed configuration by reading it anew; restarts it only where a setting asks for that, or the server's program
 * is another now (`restart`). Requests that need the database wait for as long as a restart takes.
 */
export async function reloadPostgresql(
  settings: PostgresqlSettings,
  logFile: string,
  restart: boolean,
): Promise<ProcessIdentity> {
  await preparePostgresql(settings);
  if (!restart) {
    await control(settings, 'reload');
    await new Promise((resolve) => setTimeout(resolve, 500)); // the signal is worked on meanwhile
  }
  if (restart || (await wantsRestart(settings))) await stopPostgresql(settings);
  return startPostgresql(settings, logFile);
}

async function wantsRestart(settings: PostgresqlSettings): Promise<boolean> {
  const file = join(settings.configDirectory, CONFIG);
  const asks = `SELECT current_setting('config_file') <> '${file}' OR EXISTS (SELECT FROM pg_settings WHERE pending_restart);`;
  return (await query(settings, 'postgres', asks)).trim() === 't';
}

/** Ends the server in order; transactions under way are rolled back. Fine where it does not run. */
export async function stopPostgresql(settings: PostgresqlSettings): Promise<void> {
  if (!postgresqlProcess(settings)) return;
  // Else it writes all that is in memory alone once it lets nobody in any more.
  await query(settings, 'postgres', 'CHECKPOINT;').catch(() => {});
  await control(settings, '-w', '-t', '60', '-m', 'fast', 'stop');
}

function control({ programs, dataDirectory, account }: PostgresqlSettings, ...args: string[]): Promise<string> {
  const options = { account, cwd: '/', timeoutMs: 90_000, showWords: true };
  return programs.run('pg_ctl', ['-D', dataDirectory, ...args], options);
}

/** Starts the server (it outlives this process) and waits until it answers. Fine if it runs already. */
export async function startPostgresql(settings: PostgresqlSettings, logFile: string): Promise<ProcessIdentity> {
  const running = postgresqlProcess(settings);
  if (running) return running;
  await endOrphans(settings);
  await control(settings, '-o', fileOptions(settings), '-l', logFile, '-w', '-t', '60', 'start');
  const started = postgresqlProcess(settings);
  if (!started) throw new CupolaError('engine_failed', 'PostgreSQL ended right after its start');
  return started;
}

/** Options of the server, as pg_ctl takes them. Of the data directory it believes what is in no file of its own account. */
export function fileOptions({ configDirectory }: Pick<PostgresqlSettings, 'configDirectory'>): string {
  const files = { config_file: CONFIG, hba_file: HBA, ident_file: IDENT };
  return Object.entries(files)
    .map(([name, file]) => `-c ${name}=${join(configDirectory, file)}`)
    .join(' ');
}

/**
 * Ends the processes of a server that was killed, and of a carrying over that was, and takes the locks away. Each process notices by itself that
 * the server is gone, but a busy one late, and until then the cluster cannot be started. What they had not committed is rolled back, as after
 * any crash.
 */
export async function endOrphans({ account, dataDirectory, socketDirectory }: PostgresqlSettings): Promise<void> {
  const places = [`${dirname(dataDirectory)}/`, `${dirname(socketDirectory)}/`];
  const isBelow = (path: string): boolean => places.some((place) => path.startsWith(place));
  const isOrphan = (pid: number): boolean =>
    isBelow(workingDirectory(pid) ?? '') || commandOf(pid).some((argument) => isBelow(argument));
  const orphans = () => processesAs(new Set([account.uid])).filter(({ pid }) => isOrphan(pid));
  // What forks while it is killed is found again.
  for (let found = orphans(); found.length > 0; found = orphans())
    await Promise.all(found.map((identity) => terminate(identity, 0, 'SIGKILL')));
  // A killed server that nobody has reaped yet still counts as running for the one that finds one of them.
  await removeTree(join(dataDirectory, 'postmaster.pid'));
  await removeTree(join(socketDirectory, `.s.PGSQL.${POSTGRESQL_PORT}.lock`));
}

function workingDirectory(pid: number): string | null {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return null; // it ended meanwhile, or is a thread of the kernel
  }
}

/** Of a server that serves nobody: its cluster is being carried over. */
const UPGRADING = '-b';

/** The server of this cluster, if it runs. The file that names it is its account's, which may name what runs as it, and nothing else. */
function postgresqlProcess(settings: Pick<PostgresqlSettings, 'account' | 'dataDirectory'>): ProcessIdentity | null {
  const path = join(settings.dataDirectory, 'postmaster.pid');
  try {
    const [pid] = readPlainFile(path, MOST_PID_BYTES)?.split('\n') ?? [];
    const servers = processesWith(settings.account.uid, settings.dataDirectory);
    return servers.find((one) => one.pid === Number(pid) && !commandOf(one.pid).includes(UPGRADING)) ?? null;
  } catch {
    return null;
  }
}

/** Database, roles and schemas: each room's role owns its schema and can enter no other. */
export async function createRooms(settings: PostgresqlSettings): Promise<void> {
  const exists = await query(settings, 'postgres', `SELECT 1 FROM pg_database WHERE datname = '${settings.database}';`);
  if (exists.trim() === '') await query(settings, 'postgres', `CREATE DATABASE ${settings.database};`);
  const statements = settings.rooms.map(
    (room) => `
      DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = '${room}') THEN CREATE ROLE ${room} LOGIN; END IF; END $$;
      CREATE SCHEMA IF NOT EXISTS ${room} AUTHORIZATION ${room};
      REVOKE ALL ON SCHEMA ${room} FROM PUBLIC;`,
  );
  await query(
    settings,
    settings.database,
    `REVOKE ALL ON SCHEMA public FROM PUBLIC; REVOKE ALL ON DATABASE ${settings.database} FROM PUBLIC;
     ${statements.join('\n')}
     ${settings.rooms.map((room) => `GRANT CONNECT ON DATABASE ${settings.database} TO ${room};`).join('\n')}`,
  );
}

/** As the superuser, on the socket. */
function query(
  { programs, socketDirectory, account }: PostgresqlSettings,
  database: string,
  text: string,
): Promise<string> {
  const output = ['-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1'];
  const target = ['-h', socketDirectory, '-U', 'postgres', '-d', database, '-f', '-'];
  return programs.run('psql', [...output, ...target], { input: text, account, cwd: '/', showWords: true });
}
