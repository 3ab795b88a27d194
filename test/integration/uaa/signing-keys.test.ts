import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import type { Kysely } from 'kysely';
import { Sealer } from '../../../src/kit/crypto.ts';
import { migrate } from '../../../src/kit/database.ts';
import { SigningKeys } from '../../../src/uaa/keys/signing-keys.ts';
import { MIGRATIONS } from '../../../src/uaa/migrations.ts';
import type { UaaSchema } from '../../../src/uaa/schema.ts';
import { startTestPostgresql, type TestPostgresql } from '../../support/postgresql.ts';

const DAY_MS = 86_400_000;
const AGES = { maxAgeMs: 90 * DAY_MS, longestTokenMs: 30 * DAY_MS };
let postgresql: TestPostgresql;
let db: Kysely<UaaSchema>;
let now = Date.now();

before(async () => {
  postgresql = await startTestPostgresql(['uaa']);
  db = postgresql.open<UaaSchema>('uaa');
  await migrate(db, 'uaa', MIGRATIONS);
});
after(async () => {
  await postgresql.stop();
});

test('SECURITY 35: the signing key is replaced each quarter with overlap, and the former goes when no token of it can live', async () => {
  const sealer = new Sealer([{ label: 'one', key: randomBytes(32) }]);
  const open = async () => {
    const keys = new SigningKeys(db, sealer, () => new Date(now));
    await keys.start();
    return keys;
  };
  const [keys, other] = [await open(), await open()];
  const first = (await keys.current()).kid;
  await keys.tend(AGES);
  assert.equal((await keys.publicKeys()).keys.length, 1, 'it is young');

  now += 91 * DAY_MS;
  // Two processes at the same moment make one key.
  await Promise.all([keys.tend(AGES), other.tend(AGES)]);
  assert.equal((await (await open()).publicKeys()).keys.length, 2, 'one new key');
  assert.equal((await keys.current()).kid, first, 'published before it signs');
  now += 60_000;
  const second = (await keys.current()).kid;
  assert.notEqual(second, first);

  now += 29 * DAY_MS;
  await keys.tend(AGES);
  assert.equal((await keys.publicKeys()).keys.length, 2, 'a refresh token of the former may still come');
  now += 2 * DAY_MS;
  await keys.tend(AGES);
  const left = (await keys.publicKeys()).keys.map(({ kid }) => kid);
  assert.deepEqual(left, [second], 'the former is gone');
});
