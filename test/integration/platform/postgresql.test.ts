import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { sql } from 'kysely';
import { migrate } from '../../../src/kit/database.ts';
import { startTestPostgresql } from '../../support/postgresql.ts';

test('a room sees its own schema and no other', async () => {
  const postgresql = await startTestPostgresql(['uaa', 'cc']);
  try {
    const uaa = postgresql.open<never>('uaa');
    const cc = postgresql.open<never>('cc');
    await migrate(uaa, 'uaa', [{ name: '001', sql: 'CREATE TABLE secrets (value text)' }]);
    await migrate(uaa, 'uaa', [{ name: '001', sql: 'CREATE TABLE secrets (value text)' }]);
    await assert.rejects(sql`SELECT * FROM uaa.secrets`.execute(cc), /permission denied for schema uaa/);
  } finally {
    await postgresql.stop();
  }
});

test('SECURITY 22: an account that is not the client’s takes none of the server’s connections', async () => {
  const postgresql = await startTestPostgresql(['cc']);
  try {
    const socket = `${postgresql.socketDirectory}/.s.PGSQL.5432`;
    const knock = `require('node:net').connect(${JSON.stringify(socket)}).once('connect', () => { console.log('open'); process.exit(); })
      .once('error', (error) => console.log(error.code));`;
    const as = (uid: number): string =>
      spawnSync(process.execPath, ['-e', knock], { uid, gid: uid, cwd: '/', encoding: 'utf8' }).stdout.trim();
    assert.equal(as(0), 'open', 'the client');
    assert.equal(as(65_534), 'EACCES');
  } finally {
    await postgresql.stop();
  }
});
