import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { mkdir, rename } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import type { Kysely } from 'kysely';
import { openDatabase } from '../../src/kit/database.ts';
import { Logger } from '../../src/kit/log.ts';
import { run, terminate } from '../../src/kit/process.ts';
import {
  createRooms,
  POSTGRESQL_PORT,
  type PostgresqlSettings,
  postgresqlBinDirectory,
  preparePostgresql,
  startPostgresql,
} from '../../src/platform/engines/postgresql.ts';

export interface TestPostgresql {
  /** A connection as the room's own role. */
  open<Schema>(room: string): Kysely<Schema>;
  /** Where its socket lies. */
  socketDirectory: string;
  /** Ends the server under its clients. */
  halt(): Promise<void>;
  stop(): Promise<void>;
}

/** Of each version of PostgreSQL, and each way to make one. */
const CLUSTERS = '/var/cache/cupola-test-clusters';

export const silentLog = new Logger('test', {}, () => {});

/** A cluster as the product makes it, which nobody has used: making one takes a second of processor, a copy of it a tenth. */
async function copyOfCluster(settings: PostgresqlSettings): Promise<void> {
  const [version] = (await run(join(postgresqlBinDirectory(), 'postgres'), ['--version'])).split('\n');
  const made = join(
    CLUSTERS,
    createHash('sha256')
      .update(`${version} ${settings.account.uid} ${settings.account.gid} ${preparePostgresql}`)
      .digest('hex')
      .slice(0, 12),
  );
  if (!existsSync(made)) {
    await mkdir(CLUSTERS, { recursive: true, mode: 0o755 });
    const making = mkdtempSync(join(CLUSTERS, '.making-'));
    await run('chmod', ['755', making]);
    await preparePostgresql({
      ...settings,
      dataDirectory: join(making, 'data'),
      configDirectory: join(making, 'config'),
      socketDirectory: join(making, 's'),
    });
    // Where another has made it meanwhile, that one stays.
    await rename(making, made).catch((error: unknown) => {
      rmSync(making, { recursive: true });
      if (!existsSync(made)) throw error;
    });
  }
  await run('cp', ['-a', join(made, 'data'), settings.dataDirectory]);
}

/** A real PostgreSQL of its own, in a temporary directory, with a role and a schema for each room. Needs root. */
export async function startTestPostgresql(rooms: readonly string[]): Promise<TestPostgresql> {
  const directory = mkdtempSync('/tmp/cupola-pg-');
  await run('chmod', ['755', directory]);
  const uid = Number(await run('id', ['-u', 'postgres']));
  const gid = Number(await run('id', ['-g', 'postgres']));
  const self = userInfo();
  const settings: PostgresqlSettings = {
    dataDirectory: join(directory, 'data'),
    configDirectory: join(directory, 'config'),
    socketDirectory: join(directory, 's'),
    account: { name: 'postgres', uid, gid },
    client: { name: self.username, uid: self.uid, gid: self.gid },
    database: 'cupola',
    rooms,
  };
  await copyOfCluster(settings);
  await preparePostgresql(settings);
  const identity = await startPostgresql(settings, join(settings.dataDirectory, 'log'));
  await createRooms(settings);
  const open: Kysely<unknown>[] = [];
  return {
    open: <Schema>(room: string) => {
      const db = openDatabase<Schema>(
        {
          socketDirectory: settings.socketDirectory,
          port: POSTGRESQL_PORT,
          database: 'cupola',
          role: room,
          schema: room,
        },
        silentLog,
      );
      open.push(db as unknown as Kysely<unknown>);
      return db;
    },
    socketDirectory: settings.socketDirectory,
    halt: () => terminate(identity, 10_000, 'SIGINT'),
    stop: async () => {
      await Promise.all(open.map((db) => db.destroy()));
      await terminate(identity, 10_000, 'SIGINT');
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
