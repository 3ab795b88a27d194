import assert from 'node:assert/strict';
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
