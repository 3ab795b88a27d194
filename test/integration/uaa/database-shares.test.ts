import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { sql } from 'kysely';
import { eventually } from '../../support/apps.ts';
import { ADMIN_PASSWORD, ADMIN_SECRET, type Answer, SSH_SECRET, startTestUaa, type TestUaa } from './support.ts';

let uaa: TestUaa;
let token: string;
let refresh: string;
before(async () => {
  uaa = await startTestUaa();
  const login = await uaa.grant({ grant_type: 'password', username: 'admin', password: ADMIN_PASSWORD });
  token = login.body.access_token;
  refresh = login.body.refresh_token;
});
after(() => uaa.stop());

const waits = async (): Promise<number> => {
  const { rows } = await sql<{ n: number }>`
    SELECT count(*)::int AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock'`.execute(uaa.db);
  return rows[0]?.n ?? 0;
};
const from = (address: string) => ({ 'x-forwarded-for': address });

/** While a table is locked twelve wait for it; then four of them hold connections, and a client from elsewhere is answered. */
async function leaveRoom(table: 'users' | 'groups', ask: (index: number) => Promise<Answer>): Promise<Answer[]> {
  const asked = await uaa.db.transaction().execute(async (trx) => {
    await sql`LOCK TABLE ${sql.table(table)} IN ACCESS EXCLUSIVE MODE`.execute(trx);
    const asked = Array.from({ length: 12 }, (_, index) => ask(index));
    await eventually(async () => (await waits()) === 4);
    for (let index = 0; index < 3; index += 1) {
      const form = { grant_type: 'client_credentials' };
      const answer = await uaa.call('POST', '/oauth/token', {
        basic: `admin:${ADMIN_SECRET}`,
        form,
        headers: from('192.0.2.250'),
      });
      assert.equal(answer.status, 200, JSON.stringify(answer.body));
      assert.equal(await waits(), 4);
    }
    return asked;
  });
  return Promise.all(asked);
}

test('SECURITY 30: of the connections to the database whoever shows a token has a part, wherever they call from', async () => {
  for (const [table, path] of [
    ['groups', '/Groups'],
    // Asked whether the token is in force.
    ['users', '/Groups'],
  ] as const) {
    const answers = await leaveRoom(table, (index) =>
      uaa.call('GET', path, { token, headers: from(`192.0.2.${index}`) }),
    );
    for (const { status } of answers) assert.equal(status, 200);
  }
});

test('SECURITY 30: of the connections to the database an address has a part while nobody is known', async () => {
  const answers = await leaveRoom('users', () =>
    uaa.call('POST', '/oauth/token', {
      basic: 'cf:',
      form: { grant_type: 'refresh_token', refresh_token: refresh },
      headers: from('192.0.2.7'),
    }),
  );
  for (const { status } of answers) assert.equal(status, 200);
});

test('SECURITY 30: a code that is shown to another part of the platform counts for the address that showed it', async () => {
  const redeem = (address: string) =>
    uaa.uaa.redeemCode({ id: 'ssh-proxy', secret: SSH_SECRET }, 'no-such-code', address);
  await redeem('192.0.2.9');
  const redeemed = await uaa.db.transaction().execute(async (trx) => {
    await sql`LOCK TABLE authorization_codes IN ACCESS EXCLUSIVE MODE`.execute(trx);
    const all = ['7', '7', '7', '7', '7', '8'].map((last) => redeem(`192.0.2.${last}`));
    await eventually(async () => (await waits()) === 5);
    return all;
  });
  assert.deepEqual(new Set(await Promise.all(redeemed)), new Set([null]));
});
