import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { CupolaError } from '../../kit/errors.ts';
import { identify, type ProcessIdentity, run, terminate } from '../../kit/process.ts';

/** A system account by number. */
export interface Account {
  name: string;
  uid: number;
  gid: number;
}

export interface PostgresqlSettings {
  /** The cluster; owned by `account`, 0700. */
  dataDirectory: string;
  /** Where the Unix socket lies; nothing listens on TCP. */
  socketDirectory: string;
  account: Account;
  /** System account that may become the rooms' roles (peer authentication: there is no password to leak). */
  clientAccount: string;
  database: string;
  /** One role and one schema of the same name a room. */
  rooms: readonly string[];
}

export const POSTGRESQL_PORT = 5432;

/** The newest installed server of the distribution. Throws `engine_missing`. */
export function postgresqlBinDirectory(): string {
  const base = '/usr/lib/postgresql';
  const versions = existsSync(base)
    ? readdirSync(base).filter((name) => existsSync(join(base, name, 'bin/postgres')))
    : [];
  const newest = versions.sort((a, b) => Number(b) - Number(a))[0];
  if (!newest) throw new CupolaError('engine_missing', 'PostgreSQL is not installed');
  return join(base, newest, 'bin');
}

/** Makes the cluster where there is none, and always writes configuration and authentication anew. */
export async function preparePostgresql(settings: PostgresqlSettings): Promise<void> {
  const { dataDirectory, socketDirectory, account } = settings;
  for (const directory of [dataDirectory, socketDirectory]) mkdirSync(directory, { recursive: true });
  chownSync(dataDirectory, account.uid, account.gid);
  chmodSync(dataDirectory, 0o700);
  chownSync(socketDirectory, account.uid, account.gid);
  chmodSync(socketDirectory, 0o755);
  if (!existsSync(join(dataDirectory, 'PG_VERSION'))) {
    const args = ['-D', dataDirectory, '-U', 'postgres', '-A', 'peer', '--encoding=UTF8', '--locale=C.UTF-8'];
    await run(join(postgresqlBinDirectory(), 'initdb'), args, {
      uid: account.uid,
      gid: account.gid,
      cwd: '/',
      timeoutMs: 120_000,
    });
  }
  const write = (name: string, text: string): void => {
    const path = join(dataDirectory, name);
    writeFileSync(path, text, { mode: 0o600 });
    chownSync(path, account.uid, account.gid);
  };
  write('postgresql.conf', renderPostgresqlConfig(settings));
  write('pg_hba.conf', 'local all all peer map=cupola\n');
  const map = [
    `cupola ${account.name} postgres`,
    ...settings.rooms.map((room) => `cupola ${settings.clientAccount} ${room}`),
  ];
  write('pg_ident.conf', `${map.join('\n')}\n`);
}

/** postgresql.conf. */
export function renderPostgresqlConfig({ socketDirectory }: Pick<PostgresqlSettings, 'socketDirectory'>): string {
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
    "log_line_prefix = '%m [%p] %u '",
    "timezone = 'UTC'",
    '',
  ].join('\n');
}

/**
 * Brings a running server to a changed configuration by reading it anew; restarts it only where a setting asks for that.
 * Requests that need the database wait or fail for as long as a restart takes.
 */
export async function reloadPostgresql(settings: PostgresqlSettings, logFile: string): Promise<ProcessIdentity> {
  await preparePostgresql(settings);
  const control = (...args: string[]): Promise<string> =>
    run(join(postgresqlBinDirectory(), 'pg_ctl'), ['-D', settings.dataDirectory, ...args], {
      uid: settings.account.uid,
      gid: settings.account.gid,
      cwd: '/',
      timeoutMs: 90_000,
    });
  await control('reload');
  await new Promise((resolve) => setTimeout(resolve, 500)); // the signal is worked on meanwhile
  const pending = await query(settings, 'postgres', 'SELECT count(*) FROM pg_settings WHERE pending_restart;');
  if (pending.trim() !== '0') await control('-w', '-t', '60', '-m', 'fast', 'stop');
  return startPostgresql(settings, logFile);
}

/** Starts the server (it outlives this process) and waits until it answers. Fine if it runs already. */
export async function startPostgresql(settings: PostgresqlSettings, logFile: string): Promise<ProcessIdentity> {
  const running = postgresqlProcess(settings);
  if (running) return running;
  await endOrphans(settings);
  const args = ['-D', settings.dataDirectory, '-l', logFile, '-w', '-t', '60', 'start'];
  await run(join(postgresqlBinDirectory(), 'pg_ctl'), args, {
    uid: settings.account.uid,
    gid: settings.account.gid,
    cwd: '/',
    timeoutMs: 90_000,
  });
  const started = postgresqlProcess(settings);
  if (!started) throw new CupolaError('engine_failed', 'PostgreSQL ended right after its start');
  return started;
}

/**
 * Ends the processes of a server that was killed, and takes its lock away. Each notices by itself that the server is gone, but a busy one late, and until
 * then the cluster cannot be started. What they had not committed is rolled back, as after any crash.
 */
async function endOrphans(settings: PostgresqlSettings): Promise<void> {
  const orphans = readdirSync('/proc').flatMap((name) => {
    const identity = /^\d+$/.test(name) ? identify(Number(name)) : null;
    return identity && workingDirectory(identity.pid) === settings.dataDirectory ? [identity] : [];
  });
  await Promise.all(orphans.map((identity) => terminate(identity, 0, 'SIGKILL')));
  // A killed server that nobody has reaped yet still counts as running for the one that finds its lock.
  rmSync(join(settings.dataDirectory, 'postmaster.pid'), { force: true });
}

function workingDirectory(pid: number): string | null {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return null; // it ended meanwhile, or is a thread of the kernel
  }
}

/** The server of this cluster, if it runs. */
export function postgresqlProcess(settings: PostgresqlSettings): ProcessIdentity | null {
  try {
    const [pid] = readFileSync(join(settings.dataDirectory, 'postmaster.pid'), 'utf8').split('\n');
    const identity = identify(Number(pid));
    if (!identity) return null;
    const command = readFileSync(`/proc/${identity.pid}/cmdline`, 'utf8');
    return command.includes(settings.dataDirectory) ? identity : null;
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
function query(settings: PostgresqlSettings, database: string, text: string): Promise<string> {
  const output = ['-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1'];
  const target = ['-h', settings.socketDirectory, '-U', 'postgres', '-d', database, '-f', '-'];
  const { uid, gid } = settings.account;
  return run('psql', [...output, ...target], { input: text, uid, gid, cwd: '/' });
}
