import { sql } from 'kysely';
import { type Person, startTestCloudController } from '../test/support/cloud-controller.ts';

/**
 * Asks for pages of 100,000 organizations, spaces, apps and routes over HTTP and prints what each takes: for the admin and
 * for a developer in five spaces. Needs root, for its own PostgreSQL.
 * `node bench/large-lists.ts [rounds] [words of the paths to ask for]`
 */
const COUNT = 100_000;
const ROUNDS = Number(process.argv[2] ?? 100);
const WANTED = new RegExp(process.argv[3] ?? '');
const WARM_UP = 10;

const cc = await startTestCloudController();
const { db } = cc;
await sql`INSERT INTO organizations (guid, name, quota_guid, labels)
  SELECT gen_random_uuid()::text, 'org-' || n, '00000000-0000-4000-8000-000000000001',
    CASE WHEN n % 100 = 0 THEN '{"env": "prod", "team": "blue"}'::jsonb ELSE '{"env": "prod"}'::jsonb END
  FROM generate_series(1, ${COUNT}) AS n`.execute(db);
await sql`INSERT INTO spaces (guid, name, organization_guid)
  SELECT gen_random_uuid()::text, 'space', guid FROM organizations ORDER BY id`.execute(db);
await sql`INSERT INTO apps (guid, name, space_guid, state, buildpacks, stack)
  SELECT gen_random_uuid()::text, 'app-' || id, guid, 'STOPPED', '{}', 'cflinuxfs4' FROM spaces ORDER BY id`.execute(
  db,
);
await sql`INSERT INTO routes (guid, space_guid, domain_guid, host, path)
  SELECT gen_random_uuid()::text, spaces.guid, (SELECT guid FROM domains LIMIT 1), 'host-' || spaces.id, ''
  FROM spaces ORDER BY spaces.id`.execute(db);

const few = await cc.person('few');
await sql`INSERT INTO users (guid) VALUES (${few.guid})`.execute(db);
await sql`INSERT INTO roles (guid, type, user_guid, space_guid)
  SELECT gen_random_uuid()::text, 'space_developer', ${few.guid}, guid
  FROM (SELECT guid FROM spaces ORDER BY id OFFSET ${COUNT / 2} LIMIT 5) AS chosen`.execute(db);
const people: Record<string, Person> = { admin: cc.admin, 'few spaces': few };
await sql`VACUUM ANALYZE`.execute(db);
const seen = await db
  .selectFrom('organizations')
  .select('guid')
  .where('name', '=', 'org-50003')
  .executeTakeFirstOrThrow();
const space = await db
  .selectFrom('spaces')
  .select('guid')
  .where('organization_guid', '=', seen.guid)
  .executeTakeFirstOrThrow();

const paths = [
  '/v3/organizations',
  '/v3/organizations?order_by=name',
  '/v3/organizations?order_by=name&page=1000',
  '/v3/organizations?names=org-50003',
  `/v3/organizations?guids=${seen.guid}`,
  '/v3/organizations?label_selector=team=blue',
  '/v3/organizations?label_selector=team!=blue',
  '/v3/organizations?label_selector=env=prod',
  '/v3/organizations?per_page=5000&order_by=name',
  '/v3/spaces',
  `/v3/spaces?organization_guids=${seen.guid}&order_by=name`,
  '/v3/apps',
  `/v3/apps?space_guids=${space.guid}&names=app-50003&include=space.organization`,
  '/v3/routes',
  `/v3/routes?organization_guids=${seen.guid}`,
].filter((path) => WANTED.test(path));

for (const path of paths) {
  for (const [name, person] of Object.entries(people)) {
    const times: number[] = [];
    const rounds = path.includes('per_page=5000') ? Math.ceil(ROUNDS / 10) : ROUNDS;
    let total = 0;
    for (let round = 0; round < rounds + WARM_UP; round++) {
      const began = performance.now();
      const reply = await person.get(path);
      if (reply.status !== 200) throw new Error(JSON.stringify(reply.body));
      if (round >= WARM_UP) times.push(performance.now() - began);
      total = reply.body.pagination.total_results;
    }
    times.sort((a, b) => a - b);
    const at = (part: number) => (times[Math.floor(times.length * part)] ?? 0).toFixed(1).padStart(6);
    const shown = path.replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, '…');
    console.log(
      `${shown.padEnd(80)} ${name.padEnd(10)} of ${String(total).padStart(6)}: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`,
    );
  }
}
await cc.close();
