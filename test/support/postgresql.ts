import { mkdtempSync, rmSync } from 'node:fs';
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

export const silentLog = new Logger('test', {}, () => {});

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
