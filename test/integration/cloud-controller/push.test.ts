import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { ActualLrpSchema } from '../../../src/contracts/gen/diego_pb.js';
import {
  eventually,
  newApp,
  newPackage,
  runningApp,
  stage,
  startTestFoundation,
  type TestFoundation,
  upload,
  yaml,
} from '../../support/apps.ts';
import { zipOf } from '../../support/zips.ts';

describe('push', () => {
  let f: TestFoundation;
  before(async () => {
    f = await startTestFoundation();
  });
  after(() => f.close());

  it('CC-01: a manifest becomes an app with its route, and staging makes it run', async () => {
    const { developer, bbs, space } = f;
    const manifest = `applications:
- name: shop
  memory: 64M
  instances: 2
  env: {GREETING: hello}
  default-route: true
`;
    const diff = await developer.request('POST', `/v3/spaces/${space}/manifest_diff`, manifest, yaml);
    assert.equal(diff.status, 201);
    assert.deepEqual(diff.body.diff[0], { op: 'add', path: '/applications/0/name', value: 'shop' });
    const path = `/v3/spaces/${space}/actions/apply_manifest`;
    const job = await developer.finished(await developer.request('POST', path, manifest, yaml));
    assert.deepEqual(job.body.errors, []);
    const app = (await developer.get(`/v3/apps?names=shop&space_guids=${space}`)).body.resources[0];
    assert.equal(app.lifecycle.data.stack, 'debian12');
    const process = (await developer.get(`/v3/apps/${app.guid}/processes/web`)).body;
    assert.deepEqual([process.memory_in_mb, process.instances, process.guid], [64, 2, app.guid]);
    const routes = (await developer.get(`/v3/apps/${app.guid}/routes`)).body.resources;
    assert.deepEqual(
      routes.map((route: { url: string }) => route.url),
      ['shop.test.example'],
    );

    const droplet = await stage(f, app.guid);
    const staged = (await developer.get(`/v3/apps/${app.guid}/builds`)).body.resources[0];
    assert.deepEqual([staged.state, staged.droplet.guid], ['STAGED', droplet]);
    const shown = (await developer.get(`/v3/droplets/${droplet}`)).body;
    assert.deepEqual(shown.process_types, { web: 'npm start', worker: 'node worker.js' });
    assert.equal(shown.buildpacks[0].detect_output, 'node');
    const refused = await developer.post(`/v3/apps/${app.guid}/actions/start`);
    assert.equal(refused.body.errors[0].detail, 'Assign a droplet before starting this app.');
    await developer.patch(`/v3/apps/${app.guid}/relationships/current_droplet`, { data: { guid: droplet } });
    assert.equal((await developer.post(`/v3/apps/${app.guid}/actions/restart`)).body.state, 'STARTED');

    const lrp = await eventually(() => [...bbs.lrps.values()].find((item) => item.owner?.processType === 'web'));
    assert.equal(lrp.instances, 2);
    assert.equal(lrp.startCommand, 'npm start');
    assert.deepEqual(
      lrp.routes.map((route) => [route.host, route.port]),
      [['shop.test.example', 8080]],
    );
    const env = Object.fromEntries(lrp.environment.map(({ name, value }) => [name, value]));
    assert.equal(env['GREETING'], 'hello');
    assert.deepEqual(JSON.parse(env['VCAP_APPLICATION']!).application_uris, ['shop.test.example']);
    assert.equal(lrp.owner?.organizationName, 'acme');
    assert.match(lrp.droplet!.url, /verb=GET/);
  });

  it('the staging task has what a cell needs', async () => {
    const { developer, bbs } = f;
    const app = await newApp(f, 'staging', { environment_variables: { MINE: '1' } });
    const packageGuid = await newPackage(f, app);
    const build = (await developer.post('/v3/builds', { package: { guid: packageGuid } })).body;
    assert.deepEqual([build.state, build.staging_memory_in_mb, build.droplet], ['STAGING', 512, null]);
    const again = await developer.post('/v3/builds', { package: { guid: packageGuid } });
    assert.equal(again.body.errors[0].detail, 'Only one build can be STAGING at a time per application.');
    const task = await eventually(() => bbs.tasks.get(build.guid));
    assert.deepEqual(
      [task.domain, task.stack, task.memoryMb, task.timeoutSeconds],
      ['cf-app-staging', 'debian12', 512, 60],
    );
    assert.ok(task.work.case === 'staging');
    const work = task.work.value;
    assert.match(work.package!.url, new RegExp(`packages/${packageGuid}\\?verb=GET`));
    assert.match(work.uploadDroplet!.url, /droplets\/[\w-]+\?verb=PUT/);
    assert.deepEqual(
      work.buildpacks.map((item) => [item.name, item.skipDetect]),
      [['nodejs_buildpack', false]],
    );
    const env = Object.fromEntries(task.environment.map(({ name, value }) => [name, value]));
    assert.deepEqual([env['MINE'], env['CF_STACK'], env['MEMORY_LIMIT']], ['1', 'debian12', '512m']);

    const failed = {
      taskGuid: build.guid,
      domain: 'cf-app-staging',
      failed: true,
      failureReason: 'NoAppDetectedError: x',
    };
    await f.internal.taskCompleted(failed);
    await f.internal.taskCompleted(failed);
    const ended = (await developer.get(`/v3/builds/${build.guid}`)).body;
    assert.equal(ended.state, 'FAILED');
    assert.equal(ended.error, 'NoAppDetectedError - An app was not successfully detected by any available buildpack');
  });

  it('a build whose droplet did not arrive whole fails', async () => {
    const { developer } = f;
    const app = await newApp(f, 'torn');
    const build = (await developer.post('/v3/builds', { package: { guid: await newPackage(f, app) } })).body;
    const { stagingResult } = await import('../../support/apps.ts');
    const result = stagingResult('a'.repeat(64), 5);
    await f.internal.taskCompleted({ taskGuid: build.guid, domain: 'cf-app-staging', failed: false, result });
    assert.match((await developer.get(`/v3/builds/${build.guid}`)).body.error, /did not arrive whole/);
  });

  it('SECURITY 24: a hostile upload is refused with a reason and the package fails', async () => {
    const { developer, cc, blobs } = f;
    const app = await newApp(f, 'hostile');
    const relationships = { app: { data: { guid: app } } };
    for (const items of [
      [{ path: '../../etc/cron.d/x', body: 'x' }],
      [{ path: 'link', body: '/etc/passwd', mode: 0o120777 }],
      [{ path: 'dev', body: '', mode: 0o020666 }],
    ]) {
      const { guid } = (await developer.post('/v3/packages', { type: 'bits', relationships })).body;
      const reply = await upload(developer, `${cc.url}/v3/packages/${guid}/upload`, { bits: await zipOf(items) });
      assert.equal(reply.status, 422);
      assert.equal(reply.body.errors[0].title, 'CF-AppBitsUploadInvalid');
      assert.equal((await developer.get(`/v3/packages/${guid}`)).body.state, 'FAILED');
      assert.equal(blobs.held.has(`packages/${guid}`), false);
    }
  });

  it('files the platform has are matched and put into the package', async () => {
    const { developer, cc, blobs } = f;
    const app = await newApp(f, 'matched');
    const relationships = { app: { data: { guid: app } } };
    const big = Buffer.alloc(100_000, 3);
    const first = (await developer.post('/v3/packages', { type: 'bits', relationships })).body.guid;
    await upload(developer, `${cc.url}/v3/packages/${first}/upload`, {
      bits: await zipOf([{ path: 'big', body: big }]),
    });
    const { createHash } = await import('node:crypto');
    const resource = {
      checksum: { value: createHash('sha1').update(big).digest('hex') },
      size_in_bytes: big.length,
      path: 'big',
      mode: '644',
    };
    const unknown = { ...resource, checksum: { value: '0'.repeat(40) } };
    const matches = await developer.post('/v3/resource_matches', { resources: [resource, unknown] });
    assert.deepEqual(matches.body.resources, [resource]);
    const second = (await developer.post('/v3/packages', { type: 'bits', relationships })).body.guid;
    const url = `${cc.url}/v3/packages/${second}/upload`;
    assert.equal((await upload(developer, url, { resources: [resource] })).body.state, 'READY');
    assert.ok(blobs.held.has(`packages/${second}`));
    assert.equal((await upload(developer, url, { resources: [resource] })).body.errors[0].code, 150004);
  });

  it('SECURITY 25: a hostile manifest is refused at once', async () => {
    const path = `/v3/spaces/${f.space}/actions/apply_manifest`;
    const bomb = [
      'a: &a [x,x,x,x,x,x,x,x,x]',
      ...'bcdefgh'.split('').map((name, index) => {
        const before = 'abcdefg'[index];
        return `${name}: &${name} [${Array(9).fill(`*${before}`).join(',')}]`;
      }),
    ].join('\n');
    for (const body of [bomb, '['.repeat(100_000), 'applications: {', 'applications: []', 'x: 1']) {
      const reply = await f.developer.request('POST', path, body, yaml);
      assert.ok(reply.status === 400 || reply.status === 422, `${reply.status}`);
    }
    const json = await f.developer.post(path, {});
    assert.equal(json.body.errors[0].detail, 'Content-Type must be yaml');
  });

  it('stats follow the actual LRPs', async () => {
    const { developer, bbs } = f;
    const app = await runningApp(f, 'stats');
    const process = (await developer.get(`/v3/apps/${app}/processes/web`)).body;
    const processGuid = `${process.guid}-${process.version}`;
    bbs.actual = [create(ActualLrpSchema, { processGuid, index: 0, state: 'RUNNING', instanceGuid: 'i', sinceNs: 1n })];
    const stats = (await developer.get(`/v3/processes/${process.guid}/stats`)).body.resources;
    assert.deepEqual([stats.length, stats[0].state, stats[0].type, stats[0].routable], [1, 'RUNNING', 'web', true]);
    assert.equal((await developer.delete(`/v3/apps/${app}/processes/web/instances/0`)).status, 204);
    assert.deepEqual(bbs.retired, [`${processGuid}/0`]);
    bbs.away = true;
    assert.equal((await developer.get(`/v3/processes/${process.guid}/stats`)).status, 503);
    bbs.away = false;
    bbs.actual = [];
  });

  it('DGO-01: what is changed while Diego is away reaches it later', async () => {
    const { developer, bbs } = f;
    const app = await runningApp(f, 'away');
    await eventually(() => [...bbs.lrps.values()].some((lrp) => lrp.owner?.appGuid === app));
    bbs.away = true;
    const scaled = await developer.post(`/v3/apps/${app}/processes/web/actions/scale`, { instances: 3 });
    assert.deepEqual([scaled.status, scaled.body.instances], [202, 3]);
    await new Promise((resolve) => setTimeout(resolve, 50));
    bbs.away = false;
    await eventually(() => [...bbs.lrps.values()].some((lrp) => lrp.owner?.appGuid === app && lrp.instances === 3));
    const before = [...bbs.lrps.keys()].filter((key) => key.startsWith(app));
    await developer.post(`/v3/apps/${app}/actions/restart`);
    await eventually(() => {
      const now = [...bbs.lrps.keys()].filter((key) => key.startsWith(app));
      return now.length === 1 && now[0] !== before[0];
    });
    await developer.post(`/v3/apps/${app}/actions/stop`);
    await eventually(() => ![...bbs.lrps.values()].some((lrp) => lrp.owner?.appGuid === app));
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
});
