import {
  createRooms,
  type PostgresqlSettings,
  postgresqlFingerprint,
  preparePostgresql,
  reloadPostgresql,
  startPostgresql,
} from '../engines/postgresql.ts';
import type { Component } from './component.ts';
import { digestOf, once } from './fingerprint.ts';
import type { Parts } from './parts.ts';

/** Roles and schemas of the rooms of control. */
const ROOMS = ['uaa', 'cc', 'bbs'];

/** The database of all rooms of control. */
export function postgresql({ layout, accounts }: Parts): Component {
  const settings: PostgresqlSettings = {
    dataDirectory: `${layout.run}/postgresql/data`,
    configDirectory: `${layout.run}/postgresql/config`,
    socketDirectory: `${layout.run}/postgresql/socket`,
    account: accounts.postgresql,
    client: accounts.control,
    database: 'cupola',
    rooms: ROOMS,
  };
  const logFile = `${settings.dataDirectory}/server.log`;
  return {
    name: 'postgresql',
    account: accounts.postgresql,
    stopSignal: 'SIGINT', // fast shutdown
    fingerprint: once(() => digestOf(...postgresqlFingerprint(settings))),
    takeOver: async () => {
      const identity = await reloadPostgresql(settings, logFile);
      await createRooms(settings);
      return identity;
    },
    start: async () => {
      await preparePostgresql(settings);
      const identity = await startPostgresql(settings, logFile);
      await createRooms(settings);
      return identity;
    },
  };
}
