import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { sql } from 'kysely';
import { ActualLrpSchema } from '../../../src/contracts/gen/diego_pb.js';
import { Logger } from '../../../src/kit/log.ts';
import {
  eventually,
  grant,
  newApp,
  newSpace,
  runningApp,
  stage,
  startTestFoundation,
  type TestFoundation,
  yaml,
} from '../../support/apps.ts';

const SECRET = 'planted-5ecret-value';

describe('apps', () => {
  let f: TestFoundation;
  const logged: string[] = [];
  before(async () => {
    f = await startTestFoundation({ log: new Logger('test', {}, (line) => logged.push(line), 'debug') });
  });
  after(() => f.close());

  const named = (lrp: string, name: 'appName' | 'spaceName' | 'organizationName', value: string) =>
    eventually(() => f.bbs.lrps.get(lrp)?.owner?.[name] === value);

  const lrpOf = async (app: string): Promise<string> => {
    const { guid, version } = (await f.developer.get(`/v3/apps/${app}/processes/web`)).body;
    return `${guid}-${version}`;
  };

  const rename = async (app: string, name: string) =>
    assert.equal((await f.developer.patch(`/v3/apps/${app}`, { name })).status, 200);

  it('names are unique in a space, in the words the CLI looks for', async () => {
    await newApp(f, 'twice');
    const relationships = { space: { data: { guid: f.space } } };
    const again = await f.developer.post('/v3/apps', { name: 'TWICE', relationships });
    assert.deepEqual(
      [again.status, again.body.errors[0].code, again.body.errors[0].detail],
      [422, 10016, "App with the name 'TWICE' already exists."],
    );
  });

  it('RBAC-02: who has no role in the space finds no app, and an auditor reads and changes nothing', async () => {
    const { cc, organization, space } = f;
    const app = await newApp(f, 'guarded');
    const stranger = await cc.person('stranger');
    const auditor = await cc.person('auditor');
    await grant(cc, auditor, 'space_auditor', organization, space);
    for (const path of ['', '/env', '/environment_variables', '/processes', '/packages', '/manifest', '/droplets']) {
      const reply = await stranger.get(`/v3/apps/${app}${path}`);
      assert.deepEqual([reply.status, reply.body.errors[0].detail], [404, 'App not found'], path);
    }
    assert.equal((await stranger.get('/v3/apps')).body.pagination.total_results, 0);
    assert.equal((await stranger.get('/v3/processes')).body.pagination.total_results, 0);
    const relationships = { app: { data: { guid: app } } };
    assert.equal((await stranger.post('/v3/packages', { type: 'bits', relationships })).status, 422);
    assert.equal((await auditor.get(`/v3/apps/${app}`)).status, 200);
    assert.equal((await auditor.get(`/v3/apps/${app}/environment_variables`)).status, 403);
    assert.equal((await auditor.get(`/v3/apps/${app}/manifest`)).status, 403);
    assert.equal((await auditor.patch(`/v3/apps/${app}`, { name: 'mine' })).status, 403);
    assert.equal((await auditor.post(`/v3/apps/${app}/actions/stop`)).status, 403);
    assert.equal((await auditor.delete(`/v3/apps/${app}`)).status, 403);
    assert.equal((await auditor.post('/v3/packages', { type: 'bits', relationships })).status, 403);
    const permissions = (await auditor.get(`/v3/apps/${app}/permissions`)).body;
    assert.deepEqual(permissions, { read_basic_data: true, read_sensitive_data: false });
  });

  it('ARCH-13: an app of another space cannot be given this droplet, package or mapping', async () => {
    const { cc, developer, organization } = f;
    const mine = await newApp(f, 'mine');
    const other = await newSpace(cc, organization, 'other');
    await grant(cc, developer, 'space_auditor', organization, other);
    const theirs = (
      await cc.admin.post('/v3/apps', { name: 'theirs', relationships: { space: { data: { guid: other } } } })
    ).body.guid;
    const droplet = await stage(f, mine);
    const reply = await cc.admin.patch(`/v3/apps/${theirs}/relationships/current_droplet`, { data: { guid: droplet } });
    assert.equal(reply.status, 422);
    assert.equal((await developer.post('/v3/builds', { package: { guid: theirs } })).status, 422);
  });

  it('CC-02, SECURITY 28: a variable is in no event, log line, job or column', async () => {
    const { cc, developer, lines, space } = f;
    const app = await newApp(f, 'secretive', { environment_variables: { A: SECRET } });
    await developer.patch(`/v3/apps/${app}/environment_variables`, { var: { B: `${SECRET}2`, A: null } });
    const manifest = `applications: [{name: secretive, env: {C: ${SECRET}3}, command: "run ${SECRET}4"}]`;
    const path = `/v3/spaces/${space}/actions/apply_manifest`;
    await developer.finished(await developer.request('POST', path, manifest, yaml));
    assert.deepEqual((await developer.get(`/v3/apps/${app}/environment_variables`)).body.var, {
      B: `${SECRET}2`,
      C: `${SECRET}3`,
    });
    const droplet = await stage(f, app);
    await developer.patch(`/v3/apps/${app}/relationships/current_droplet`, { data: { guid: droplet } });
    await developer.post(`/v3/apps/${app}/tasks`, { command: `task ${SECRET}` });
    const refused = await developer.patch(`/v3/apps/${app}/environment_variables`, { var: { VCAP_X: SECRET } });
    assert.equal(refused.status, 422);
    assert.ok(!JSON.stringify(refused.body).includes(SECRET));
    for (const table of ['audit_events', 'jobs', 'apps', 'tasks', 'builds'] as const) {
      const { rows } = await sql<{ text: string }>`SELECT t::text AS text FROM ${sql.table(table)} AS t`.execute(cc.db);
      assert.ok(rows.length > 0, table);
      assert.ok(!rows.some((row) => row.text.includes(SECRET)), `${table} holds the secret`);
      const hex = Buffer.from(SECRET).toString('hex');
      assert.ok(!rows.some((row) => row.text.includes(hex)), `${table} holds the secret's bytes`);
    }
    assert.ok(!logged.join('').includes(SECRET));
    const payloads = lines.map((line) => (line.message.case === 'log' ? Buffer.from(line.message.value.payload) : ''));
    assert.ok(!payloads.join('').includes(SECRET));
    assert.ok(payloads.join('').includes(`Created app with guid ${app}`));
    const types = (await cc.admin.get(`/v3/audit_events?target_guids=${app}&per_page=100`)).body.resources.map(
      (event: { type: string }) => event.type,
    );
    for (const type of ['create', 'update', 'apply_manifest', 'environment_variables.show', 'build.create']) {
      assert.ok(types.includes(`audit.app.${type}`), `${type} of ${types}`);
    }
  });

  it('logs are for those who see the app, with a token that is good', async () => {
    const { cc, developer, internal, organization } = f;
    const app = await newApp(f, 'logs');
    const stranger = await cc.person('nobody');
    const billing = await cc.person('billing');
    await grant(cc, billing, 'organization_billing_manager', organization);
    const allowed = async (accessToken: string) =>
      (await internal.logAccess({ accessToken, sourceIds: ['doppler', app, 'nobody'] })).allowed;
    assert.deepEqual(await allowed(developer.token), [app]);
    assert.deepEqual(await allowed(cc.admin.token), [app]);
    assert.deepEqual(await allowed(stranger.token), []);
    assert.deepEqual(await allowed(billing.token), []);
    assert.deepEqual(await allowed(`${developer.token.slice(0, -4)}AAAA`), []);
    assert.deepEqual(await allowed(''), []);
  });

  it('an app that is pushed again while it is deleted is there, and is another', async () => {
    const { cc, developer, space } = f;
    const former = await newApp(f, 'again');
    const path = `/v3/spaces/${space}/actions/apply_manifest`;
    const held = Promise.withResolvers<void>();
    const holding = Promise.withResolvers<void>();
    const lock = cc.db.transaction().execute(async (trx) => {
      await trx.selectFrom('apps').select('guid').where('guid', '=', former).forUpdate().execute();
      holding.resolve();
      await held.promise;
    });
    await holding.promise;
    const deleted = await developer.delete(`/v3/apps/${former}`);
    const applied = developer.request('POST', path, 'applications: [{name: again}]', yaml);
    await Promise.race([applied, eventually(() => waitsForApps())]);
    held.resolve();
    await lock;
    const job = await developer.finished(await applied);
    assert.deepEqual(job.body.errors, []);
    assert.equal((await developer.finished(deleted)).body.state, 'COMPLETE');
    const found = (await developer.get(`/v3/apps?names=again&space_guids=${space}`)).body.resources;
    assert.equal(found.length, 1);
    assert.notEqual(found[0].guid, former);

    /** Two wait for the row: the job that deletes, and what is applied. */
    async function waitsForApps(): Promise<boolean> {
      const { rows } = await sql<{ n: number }>`
        SELECT count(*)::int AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock'`.execute(cc.db);
      return (rows[0]?.n ?? 0) >= 2;
    }
  });

  it('deleting an app takes its LRPs, packages, droplets and mappings with it', async () => {
    const { developer, bbs, blobs, cc } = f;
    const app = await runningApp(f, 'gone');
    const droplet = (await developer.get(`/v3/apps/${app}/droplets/current`)).body.guid;
    await eventually(() => [...bbs.lrps.values()].some((lrp) => lrp.owner?.appGuid === app));
    const job = await developer.finished(await developer.delete(`/v3/apps/${app}`));
    assert.equal(job.body.state, 'COMPLETE');
    assert.equal((await developer.get(`/v3/apps/${app}`)).body.errors[0].detail, 'App not found');
    await eventually(() => ![...bbs.lrps.values()].some((lrp) => lrp.owner?.appGuid === app));
    assert.equal(blobs.held.has(`droplets/${droplet}`), false);
    assert.deepEqual(await cc.db.selectFrom('packages').selectAll().where('app_guid', '=', app).execute(), []);
  });

  it('LOG-01: a new name of an app, a space or an org is told to Diego at once; neither version nor environment change', async () => {
    const app = await runningApp(f, 'web');
    const lrp = await lrpOf(app);
    await named(lrp, 'appName', 'web');
    const desired = f.bbs.lrps.get(lrp)!;

    await rename(app, 'shop');
    await named(lrp, 'appName', 'shop');
    assert.equal((await f.cc.admin.patch(`/v3/spaces/${f.space}`, { name: 'prod' })).status, 200);
    await named(lrp, 'spaceName', 'prod');
    assert.equal((await f.cc.admin.patch(`/v3/organizations/${f.organization}`, { name: 'umbrella' })).status, 200);
    await named(lrp, 'organizationName', 'umbrella');

    assert.equal(await lrpOf(app), lrp);
    assert.equal(f.bbs.lrps.get(lrp), desired, 'it is not desired anew');
    const application = JSON.parse(desired.environment.find(({ name }) => name === 'VCAP_APPLICATION')!.value);
    assert.deepEqual(
      [application.name, application.space_name, application.organization_name],
      ['web', 'dev', 'acme'],
      'what the app was started with',
    );
  });

  it('what serves until its successor does has the new name too', async () => {
    const { developer } = f;
    const app = await runningApp(f, 'served');
    const [domain] = (await developer.get('/v3/domains')).body.resources;
    const relationships = { space: { data: { guid: f.space } }, domain: { data: { guid: domain.guid } } };
    const route = (await developer.post('/v3/routes', { host: 'served', relationships })).body;
    await developer.post(`/v3/routes/${route.guid}/destinations`, { destinations: [{ app: { guid: app } }] });
    const serving = await lrpOf(app);
    await named(serving, 'appName', 'served');
    f.bbs.actual = [create(ActualLrpSchema, { processGuid: serving, state: 'RUNNING', instanceGuid: 'it' })];
    await developer.post(`/v3/apps/${app}/actions/restart`);
    const next = await lrpOf(app);
    assert.notEqual(next, serving);
    await named(next, 'appName', 'served');
    await rename(app, 'renamed');
    await named(next, 'appName', 'renamed');
    await named(serving, 'appName', 'renamed');
  });
});
