import { createHash } from 'node:crypto';
import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
} from 'node:fs';
import { mkdir, rename } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import type { Kysely } from 'kysely';
import { migrations as CC_MIGRATIONS } from '../../src/cloud-controller/migrations/index.ts';
import { MIGRATIONS as BBS_MIGRATIONS } from '../../src/diego/schema.ts';
import { migrate, openDatabase } from '../../src/kit/database.ts';
import { type EngineTree, pinEngines, unpinAll } from '../../src/kit/engines.ts';
import { Logger } from '../../src/kit/log.ts';
import { run, terminate } from '../../src/kit/process.ts';
import { pinnedPrograms, versionsIn } from '../../src/platform/engines/postgresql/programs.ts';
import {
  createRooms,
  POSTGRESQL_PORT,
  type PostgresqlSettings,
  preparePostgresql,
  startPostgresql,
} from '../../src/platform/engines/postgresql/server.ts';
import { MIGRATIONS as UAA_MIGRATIONS } from '../../src/uaa/migrations.ts';
import { imageRoot } from './haproxy.ts';
import { ROOT } from './project-files.ts';

export interface TestPostgresql {
  /** A connection as the room's own role. */
  open<Schema>(room: string): Kysely<Schema>;
  /** Where its socket lies. */
  socketDirectory: string;
  /** Ends the server under its clients. */
  halt(): Promise<void>;
  /** Starts it again. */
  startAgain(): Promise<void>;
  stop(): Promise<void>;
}

/** Of each image of the engines, of the rooms' schemas, and of each way to make one. */
const CLUSTERS = '/var/cache/cupola-test-clusters';
const MEMORY = '/run';
const KEPT_MS = 7 * 24 * 3_600_000;

export const silentLog = new Logger('test', {}, () => {});

/** The rooms that have a schema of their own, as the product brings it up to date. */
const SCHEMAS = { uaa: UAA_MIGRATIONS, cc: CC_MIGRATIONS, bbs: BBS_MIGRATIONS } as const;

/**
 * A cluster as the product makes it, with the rooms' schemas, which nobody has used: making one takes seconds of processor. Only what is
 * opened for writing of its 1,600 files becomes the test's own, in `own`.
 */
async function mountCluster(settings: Omit<PostgresqlSettings, 'programs'>, own: string): Promise<void> {
  const { uid, gid } = settings.account;
  const code = readFileSync(join(ROOT, 'src/platform/engines/postgresql/server.ts'), 'utf8');
  const madeOf = JSON.stringify([imageRoot(), uid, gid, code, SCHEMAS]);
  const made = join(CLUSTERS, createHash('sha256').update(madeOf).digest('hex').slice(0, 12));
  if (!existsSync(made)) await makeCluster(settings, made);
  // Those of other checkouts that nobody has used for long go.
  utimesSync(made, new Date(), new Date());
  const [upper, work] = [join(own, 'written'), join(own, 'work')] as const;
  for (const directory of [upper, work, settings.dataDirectory]) mkdirSync(directory, { mode: 0o700 });
  chownSync(upper, uid, gid);
  const layers = `lowerdir=${join(made, 'data')},upperdir=${upper},workdir=${work}`;
  await run('mount', ['-t', 'overlay', '-o', layers, 'overlay', settings.dataDirectory], { showWords: true });
}

async function makeCluster(settings: Omit<PostgresqlSettings, 'programs'>, made: string): Promise<void> {
  await mkdir(CLUSTERS, { recursive: true, mode: 0o755 });
  for (const name of readdirSync(CLUSTERS)) {
    const former = statSync(join(CLUSTERS, name), { throwIfNoEntry: false });
    if (former && Date.now() - former.mtimeMs > KEPT_MS) rmSync(join(CLUSTERS, name), { recursive: true, force: true });
  }
  const making = mkdtempSync(join(CLUSTERS, '.making-'));
  await run('chmod', ['755', making]);
  const pins = `${making}-engines`;
  const own = {
    ...settings,
    programs: await imagePrograms(pins),
    dataDirectory: join(making, 'data'),
    configDirectory: join(making, 'config'),
    socketDirectory: join(making, 's'),
    rooms: Object.keys(SCHEMAS),
  };
  await preparePostgresql(own);
  const identity = await startPostgresql(own, join(own.dataDirectory, 'log'));
  try {
    await createRooms(own);
    for (const [room, migrations] of Object.entries(SCHEMAS)) {
      const db = openRoom(own, room);
      await migrate(db, room, migrations);
      await db.destroy();
    }
  } finally {
    await terminate(identity, 10_000, 'SIGINT');
    await unpinAll(pins);
  }
  // Where another has made it meanwhile, that one stays.
  await rename(making, made).catch((error: unknown) => {
    rmSync(making, { recursive: true });
    if (!existsSync(made)) throw error;
  });
}

function openRoom<Schema>(
  { socketDirectory, database }: Pick<PostgresqlSettings, 'socketDirectory' | 'database'>,
  room: string,
): Kysely<Schema> {
  return openDatabase<Schema>(
    { socketDirectory, port: POSTGRESQL_PORT, database, role: room, schema: room },
    silentLog,
  );
}

/** The image's PostgreSQL, as the product runs it; what is pinned is to be let go (`unpinAll`). */
async function imagePrograms(pins: string) {
  const tree: EngineTree = { pin: join(pins, 'postgresql.0'), root: imageRoot() };
  await pinEngines(tree);
  return pinnedPrograms(versionsIn(tree.root)[0]!, tree);
}

/** A real PostgreSQL of its own, in memory, with a role and a schema for each room. Needs root. */
export async function startTestPostgresql(rooms: readonly string[]): Promise<TestPostgresql> {
  const directory = mkdtempSync(join(MEMORY, 'cupola-pg-'));
  await run('chmod', ['755', directory]);
  const uid = Number(await run('id', ['-u', 'postgres']));
  const gid = Number(await run('id', ['-g', 'postgres']));
  const self = userInfo();
  const pins = join(directory, 'engines');
  const own = {
    dataDirectory: join(directory, 'data'),
    configDirectory: join(directory, 'config'),
    socketDirectory: join(directory, 's'),
    account: { name: 'postgres', uid, gid },
    client: { name: self.username, uid: self.uid, gid: self.gid },
    database: 'cupola',
    rooms,
  };
  await mountCluster(own, directory);
  // Once the cluster is mounted, or it would not be seen there.
  const settings: PostgresqlSettings = { ...own, programs: await imagePrograms(pins) };
  await preparePostgresql(settings);
  let identity = await startPostgresql(settings, join(settings.dataDirectory, 'log'));
  if (!rooms.every((room) => Object.hasOwn(SCHEMAS, room))) await createRooms(settings);
  const open: Kysely<unknown>[] = [];
  return {
    open: <Schema>(room: string) => {
      const db = openRoom<Schema>(settings, room);
      open.push(db as unknown as Kysely<unknown>);
      return db;
    },
    socketDirectory: settings.socketDirectory,
    halt: () => terminate(identity, 10_000, 'SIGINT'),
    startAgain: async () => {
      identity = await startPostgresql(settings, join(settings.dataDirectory, 'log'));
    },
    stop: async () => {
      await Promise.all(open.map((db) => db.destroy()));
      await terminate(identity, 10_000, 'SIGQUIT'); // at once: nobody reads it again
      await unpinAll(pins);
      await run('umount', [settings.dataDirectory], { showWords: true });
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
