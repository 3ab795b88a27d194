import { sql } from 'kysely';
import { startTestCloudController } from '../test/support/cloud-controller.ts';

/** Lists pages of 100,000 organizations over HTTP and prints what each takes. Needs root, for its own PostgreSQL. */
const COUNT = 100_000;
const ROUNDS = 60;

const cc = await startTestCloudController();
await sql`INSERT INTO organizations (guid, name, quota_guid)
  SELECT gen_random_uuid()::text, 'org-' || n, '00000000-0000-4000-8000-000000000001'
  FROM generate_series(1, ${COUNT}) AS n`.execute(cc.db);
await sql`VACUUM ANALYZE organizations`.execute(cc.db);
const member = await cc.person('member');
await sql`INSERT INTO users (guid) VALUES (${member.guid})`.execute(cc.db);
await sql`INSERT INTO roles (guid, type, user_guid, organization_guid)
  SELECT gen_random_uuid()::text, 'organization_user', ${member.guid}, guid FROM organizations LIMIT 200`.execute(
  cc.db,
);

const cases = {
  'admin, first page of 50': { who: cc.admin, path: '/v3/organizations' },
  'admin, by name': { who: cc.admin, path: '/v3/organizations?order_by=name' },
  'admin, page 1,000 by name': { who: cc.admin, path: '/v3/organizations?order_by=name&page=1000' },
  'admin, one name': { who: cc.admin, path: '/v3/organizations?names=org-77777' },
  'member of 200': { who: member, path: '/v3/organizations' },
};
for (const [name, { who, path }] of Object.entries(cases)) {
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const began = performance.now();
    const reply = await who.get(path);
    if (reply.status !== 200) throw new Error(JSON.stringify(reply.body));
    if (round >= 10) times.push(performance.now() - began);
  }
  times.sort((a, b) => a - b);
  const at = (part: number): string => (times[Math.floor(times.length * part)] ?? 0).toFixed(1);
  console.log(`${name.padEnd(28)} median ${at(0.5)} ms, p95 ${at(0.95)} ms`);
}
await cc.close();
