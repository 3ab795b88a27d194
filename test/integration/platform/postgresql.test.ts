import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { sql } from 'kysely';
import { isTransient, migrate, openDatabase } from '../../../src/kit/database.ts';
import { silentLog, startTestPostgresql } from '../../support/postgresql.ts';

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

test('a server that is away is waited for, and whoever asks for something else hears at once', async () => {
  const postgresql = await startTestPostgresql(['cc']);
  try {
    const db = postgresql.open<never>('cc');
    await sql`SELECT 1`.execute(db);
    await postgresql.halt();
    const asked = sql<{ one: number }>`SELECT 1 AS one`.execute(db);
    await pause(500);
    await postgresql.startAgain();
    assert.deepEqual((await asked).rows, [{ one: 1 }]);
    const stranger = openDatabase<never>(
      { socketDirectory: postgresql.socketDirectory, port: 5432, database: 'nothing', role: 'cc', schema: 'cc' },
      silentLog,
    );
    const began = performance.now();
    await assert.rejects(sql`SELECT 1`.execute(stranger), { code: '3D000' });
    assert.ok(performance.now() - began < 5_000);
    await stranger.destroy();
  } finally {
    await postgresql.stop();
  }
});

test('what a server that ends breaks off is to be asked again, whichever statement hears of it', async () => {
  const postgresql = await startTestPostgresql(['cc']);
  try {
    const db = postgresql.open<never>('cc');
    const broken = db.transaction().execute(async (trx) => {
      await sql`SELECT 1`.execute(trx);
      await postgresql.halt();
      await pause(100); // its last words are heard
      await sql`SELECT 1`.execute(trx);
    });
    await assert.rejects(broken, (error) => {
      assert.ok(isTransient(error), String(error));
      return true;
    });
  } finally {
    await postgresql.stop();
  }
});
