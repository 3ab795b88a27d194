import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { Sealer } from '../../../src/kit/crypto.ts';
import { CupolaError } from '../../../src/kit/errors.ts';
import type { UaaSchema } from '../../../src/uaa/schema.ts';
import { cloudControllerClient, createUaa } from '../../../src/uaa/uaa.ts';
import { silentLog, startTestPostgresql, type TestPostgresql } from '../../support/postgresql.ts';
import { URLS } from './support.ts';

let postgresql: TestPostgresql;
before(async () => {
  postgresql = await startTestPostgresql(['uaa']);
});
after(() => postgresql.stop());

const sealer = new Sealer([{ label: 'one', key: randomBytes(32) }]);
const create = (withSealer = sealer) =>
  createUaa({
    db: postgresql.open<UaaSchema>('uaa'),
    sealer: withSealer,
    log: silentLog,
    urls: URLS,
    bcryptCost: 4,
    bootstrap: {
      adminUser: { userName: 'admin', password: 'correct horse battery' },
      clients: [cloudControllerClient({ secret: 'the-cc-secret' })],
    },
  });

test('processes that start at once on an empty database agree on keys, clients and the administrator', async () => {
  const several = [create(), create(), create()];
  await Promise.all(several.map((uaa) => uaa.start()));
  const published = await Promise.all(several.map((uaa) => uaa.tokenKeys()));
  assert.equal(published[0]!.keys.length, 1);
  assert.deepEqual(published[1], published[0]);
  assert.deepEqual(published[2], published[0]);
  assert.equal((await several[0]!.directory.byNames(['admin'])).length, 1);
  await Promise.all(several.map((uaa) => uaa.close()));
});

test('without the key that sealed the signing keys UAA does not start', async () => {
  const stranger = create(new Sealer([{ label: 'two', key: randomBytes(32) }]));
  await assert.rejects(stranger.start(), (error) => error instanceof CupolaError && error.code === 'unknown_key_label');
});
