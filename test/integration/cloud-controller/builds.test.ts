import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
  eventually,
  newApp,
  newPackage,
  runningApp,
  stagingResult,
  startTestFoundation,
  type TestFoundation,
} from '../../support/apps.ts';

describe('builds', () => {
  let f: TestFoundation;
  before(async () => {
    f = await startTestFoundation();
  });
  after(() => f.close());

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
    const result = stagingResult('a'.repeat(64), 5);
    await f.internal.taskCompleted({ taskGuid: build.guid, domain: 'cf-app-staging', failed: false, result });
    assert.match((await developer.get(`/v3/builds/${build.guid}`)).body.error, /did not arrive whole/);
  });

  it('AUD-01: a build that is staged or fails, and a revision that is made, are recorded', async () => {
    const { developer, bbs, internal } = f;
    const app = await runningApp(f, 'recorded');
    const events = async (type: string) =>
      (await developer.get(`/v3/audit_events?types=${type}&target_guids=${app}`)).body.resources;
    const [staged] = await events('audit.app.build.staged');
    const current = (await developer.get(`/v3/apps/${app}/droplets/current`)).body.guid;
    assert.equal(staged.data.droplet_guid, current);
    const [revision] = (await developer.get(`/v3/apps/${app}/revisions`)).body.resources;
    const made = (await events('audit.app.revision.create')).map(({ data }: { data: object }) => data);
    assert.deepEqual(made, [{ revision_guid: revision.guid, revision_version: 1 }]);
    await developer.post(`/v3/apps/${app}/actions/restart`);
    assert.equal((await events('audit.app.revision.create')).length, 1, 'the same droplet is the same revision');

    const packageGuid = await newPackage(f, app);
    const build = (await developer.post('/v3/builds', { package: { guid: packageGuid } })).body;
    const task = await eventually(() => bbs.tasks.get(build.guid));
    const failed = { failed: true, failureReason: 'NoAppDetectedError: none fits', result: '' };
    for (let times = 0; times < 2; times++) {
      await internal.taskCompleted({ taskGuid: build.guid, domain: task.domain, ...failed });
    }
    const [event, ...more] = await events('audit.app.build.failed');
    assert.deepEqual([event.data.build_guid, event.data.error_id, more.length], [build.guid, 'NoAppDetectedError', 0]);
  });
});
