import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { type RawBuilder, sql } from 'kysely';
import { newApp, startTestFoundation, type TestFoundation } from '../../support/apps.ts';
import { startTestCloudController, type TestCloudController } from '../../support/cloud-controller.ts';

const MIB = 1024 ** 2;
/** A list of so many such rows would be of 20 MiB. */
const HEAVY = { rows: 20, bytes: MIB };
/** Of 100 destinations of 2 KiB each: some 20 MiB. */
const ROUTES = 100;

describe('lists of what is large', () => {
  let f: TestFoundation;
  let app: string;
  const run = (statement: RawBuilder<unknown>) => statement.execute(f.cc.db);
  before(async () => {
    f = await startTestFoundation();
    app = await newApp(f, 'large');
  });
  after(() => f.close());

  async function lists(path: string, rows: number, sees = f.developer): Promise<void> {
    const { status, body } = await sees.get(path);
    assert.deepEqual([path, status, body.resources?.length], [path, 200, rows]);
  }

  it('SECURITY 25: apps with full environments keep nobody from listing them, and the environment of each is read by itself', async () => {
    const variables = { env_key_label: 'test', env_data: randomBytes(128 * 1024) };
    await run(sql`INSERT INTO apps (guid, name, space_guid, state, buildpacks, stack, env_key_label, env_data)
      SELECT 'full-' || n, 'full-' || n, ${f.space}, 'STOPPED', '{}', 'cflinuxfs4', ${variables.env_key_label}, ${variables.env_data}
      FROM generate_series(1, 160) AS n`);
    await lists('/v3/apps?per_page=5000', 161);
    await lists('/v3/apps?per_page=5000&include=space', 161, f.cc.admin);
    await run(sql`DELETE FROM apps WHERE guid LIKE 'full-%'`);
    const set = { var: { LARGE: 'x'.repeat(100 * 1024) } };
    assert.equal((await f.developer.patch(`/v3/apps/${app}/environment_variables`, set)).status, 200);
    assert.deepEqual((await f.developer.get(`/v3/apps/${app}/environment_variables`)).body.var, set.var);
    assert.equal((await f.developer.get(`/v3/apps/${app}`)).body.environment_variables, undefined);
  });

  it('SECURITY 25: what no list shows counts in none', async () => {
    const data = randomBytes(HEAVY.bytes);
    const text = 'x'.repeat(HEAVY.bytes);
    const each = sql`FROM generate_series(1, ${HEAVY.rows}) AS n`;
    await run(sql`INSERT INTO revisions (guid, app_guid, version, droplet_guid, description, env_key_label, env_data)
      SELECT 'revision-' || n, ${app}, 1000 + n, 'none', 'none', 'test', ${data} ${each}`);
    await run(sql`INSERT INTO packages (guid, app_guid, state, docker_image, docker_username, docker_key_label, docker_data)
      SELECT 'package-' || n, ${app}, 'READY', 'image', 'somebody', 'test', ${data} ${each}`);
    await run(sql`INSERT INTO droplets (guid, app_guid, package_guid, state, process_types, buildpacks, docker_key_label, docker_data)
      SELECT 'droplet-' || n, ${app}, 'package-1', 'STAGED', jsonb_build_object('web', ${text}::text), '[]', 'test', ${data} ${each}`);
    await run(sql`INSERT INTO processes (guid, app_guid, type, command, instances, memory_mb, disk_mb, log_rate_limit,
        health_check_type, state, version)
      SELECT 'process-' || n, ${app}, 'type-' || n, ${text}, 0, 1, 1, -1, 'process', 'STOPPED', gen_random_uuid() ${each}`);
    await run(sql`INSERT INTO tasks (guid, app_guid, sequence_id, name, command_key_label, command_data, state, memory_mb, disk_mb,
        log_rate_limit, droplet_guid)
      SELECT 'task-' || n, ${app}, n, 'task', 'test', ${data}, 'SUCCEEDED', 1, 1, -1, 'droplet-1' ${each}`);
    for (const path of [
      `/v3/apps/${app}/revisions`,
      '/v3/packages',
      `/v3/apps/${app}/packages`,
      '/v3/droplets',
      `/v3/apps/${app}/droplets`,
      '/v3/packages/package-1/droplets',
      '/v3/tasks',
    ]) {
      await lists(`${path}?per_page=5000`, HEAVY.rows);
    }
    await lists('/v3/processes?per_page=5000', HEAVY.rows + 1);
    await lists(`/v3/apps/${app}/processes?per_page=5000`, HEAVY.rows + 1);
    const [process] = (await f.developer.get('/v3/processes?types=type-1')).body.resources;
    assert.equal(process.command, '[PRIVATE DATA HIDDEN IN LISTS]');
    assert.equal((await f.developer.get('/v3/processes/process-1')).body.command.length, HEAVY.bytes);
    for (const table of ['revisions', 'packages', 'droplets', 'processes', 'tasks']) {
      await run(sql`DELETE FROM ${sql.table(table)} WHERE guid ~ '-[0-9]{1,2}$'`);
    }
  });

  it('SECURITY 25: what a job works on is not read for who asks how far it is', async () => {
    const text = 'x'.repeat(17 * MIB);
    await run(sql`INSERT INTO jobs (guid, operation, state, input, actor, errors, warnings, attempts)
      VALUES ('large', 'space.apply_manifest', 'COMPLETE', jsonb_build_object('plan', ${text}::text), '{}', '[]', '[]', 1)`);
    const { status, body } = await f.developer.get('/v3/jobs/large');
    assert.deepEqual([status, body.state], [200, 'COMPLETE']);
  });

  it('SECURITY 25: the destinations of routes count in what shows them, in a list and beside an app', async () => {
    const [domain] = (await f.cc.admin.get('/v3/domains')).body.resources;
    await run(sql`INSERT INTO routes (guid, space_guid, domain_guid, host, path)
      SELECT 'route-' || n, ${f.space}, ${domain.guid}, 'route-' || n, '' FROM generate_series(1, ${ROUTES}) AS n`);
    await run(sql`INSERT INTO route_destinations (guid, route_guid, app_guid, process_type, port, protocol)
      SELECT gen_random_uuid(), 'route-' || n, ${app}, repeat('x', 2000), port, 'http1'
      FROM generate_series(1, ${ROUTES}) AS n, generate_series(1, 100) AS port`);
    for (const path of ['/v3/routes', `/v3/apps/${app}/routes`]) {
      const refused = await f.developer.get(`${path}?per_page=5000`);
      assert.equal(refused.status, 422, path);
      assert.match(refused.body.errors[0].detail, /ask for fewer results per page/);
      await lists(`${path}?per_page=10`, 10);
    }
    const manifest = await fetch(`${f.cc.url}/v3/apps/${app}/manifest`, {
      headers: { authorization: `bearer ${f.developer.token}` },
    });
    assert.equal(manifest.status, 422, 'what is no list has the same bound');
    await run(sql`DELETE FROM routes WHERE guid LIKE 'route-%'`);
  });

  it('SECURITY 25: instances count that are made of a number alone', async () => {
    await run(sql`INSERT INTO processes (guid, app_guid, type, instances, memory_mb, disk_mb, log_rate_limit, health_check_type,
        state, version)
      SELECT 'many-' || n, ${app}, 'many-' || n, 10000, 1, 1, -1, 'process', 'STOPPED', gen_random_uuid()
      FROM generate_series(1, 40) AS n`);
    const refused = await f.developer.get('/v3/processes?per_page=5000&embed=process_instances');
    assert.equal(refused.status, 422);
    assert.match(refused.body.errors[0].detail, /larger than 16 MiB/);
    const one = await f.developer.get('/v3/processes/many-1?embed=process_instances');
    assert.deepEqual([one.status, one.body.process_instances.length], [200, 10_000]);
    await run(sql`DELETE FROM processes WHERE guid LIKE 'many-%'`);
  });
});

describe('answers that are large', () => {
  let cc: TestCloudController;
  before(async () => {
    cc = await startTestCloudController();
    for (let n = 0; n < 20; n += 1) {
      assert.equal((await cc.admin.post('/v3/organizations', { name: `org-${n}` })).status, 201);
    }
  });
  after(() => cc.close());

  it('SECURITY 25: a list that would be larger than its bound is refused, and told in smaller pages', async () => {
    await sql`UPDATE organizations SET annotations = jsonb_build_object('note', repeat('x', 1000000))`.execute(cc.db);
    const refused = await cc.admin.get('/v3/organizations?per_page=5000');
    assert.equal(refused.status, 422);
    assert.match(refused.body.errors[0].detail, /larger than 16 MiB; ask for fewer results per page/);
    const names = [];
    for (let path: string | null = '/v3/organizations?per_page=8'; path !== null; ) {
      const page = await cc.admin.get(path);
      assert.equal(page.status, 200);
      for (const { name } of page.body.resources) names.push(name);
      path = page.body.pagination.next?.href ?? null;
    }
    assert.equal(new Set(names).size, 20);
    assert.equal(names.length, 20);
  });

  it('SECURITY 25: the metadata of one resource is bounded in sum; what was more may become less', async () => {
    const annotations = Object.fromEntries(Array.from({ length: 14 }, (_, n) => [`note-${n}`, 'x'.repeat(5_000)]));
    const refused = await cc.admin.post('/v3/organizations', { name: 'full', metadata: { annotations } });
    assert.deepEqual([refused.status, refused.body.errors?.[0].title], [422, 'CF-UnprocessableEntity']);
    const [{ guid }] = (await cc.admin.get('/v3/organizations?names=org-1')).body.resources;
    const large = { a: 'x'.repeat(100_000), b: 'x' };
    await sql`UPDATE organizations SET annotations = ${JSON.stringify(large)}::jsonb WHERE guid = ${guid}`.execute(
      cc.db,
    );
    const change = (changes: Record<string, string | null>) =>
      cc.admin.patch(`/v3/organizations/${guid}`, { metadata: { annotations: changes } });
    assert.equal((await change({ c: 'more' })).status, 422);
    assert.equal((await change({ b: null })).status, 200);
  });
});
