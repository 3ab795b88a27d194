import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import { TaskSchema } from '../../../src/contracts/gen/diego_pb.js';
import { eventually, runningApp, stage, startTestFoundation, type TestFoundation } from '../../support/apps.ts';

describe('tasks', () => {
  let f: TestFoundation;
  before(async () => {
    f = await startTestFoundation();
  });
  after(() => f.close());

  it('a change of what else runs asks nobody for all tasks', async () => {
    const { developer, bbs } = f;
    const app = await runningApp(f, 'renamed');
    await pause(1_200); // a staging that has just ended is looked for once more
    bbs.calls.length = 0;
    await developer.patch(`/v3/apps/${app}`, { name: 'renamed-anew' });
    await eventually(() => bbs.calls.includes('updateDesiredLrp'));
    await pause(100);
    assert.deepEqual(
      bbs.calls.filter((call) => call === 'tasks'),
      [],
    );
  });

  it('a task is handed to Diego, cancelled and ended', async () => {
    const { developer, bbs, internal } = f;
    const app = await runningApp(f, 'tasks');
    const task = (await developer.post(`/v3/apps/${app}/tasks`, { command: 'rake db', name: 'migrate' })).body;
    assert.deepEqual([task.state, task.sequence_id, task.command], ['PENDING', 1, 'rake db']);
    const there = await eventually(() => bbs.tasks.get(task.guid));
    assert.ok(there.work.case === 'command');
    assert.equal(there.work.value.command, 'rake db');
    await developer.post(`/v3/tasks/${task.guid}/actions/cancel`);
    await eventually(() => bbs.cancelled.includes(task.guid));
    await internal.taskCompleted({
      taskGuid: task.guid,
      domain: 'cf-tasks',
      failed: true,
      failureReason: 'task was cancelled',
      result: '',
    });
    const ended = (await developer.get(`/v3/tasks/${task.guid}`)).body;
    assert.deepEqual([ended.state, ended.result.failure_reason], ['FAILED', 'task was cancelled']);
  });

  it('a task that another process hands over while all are compared is not taken for lost', async () => {
    const { cc, developer, bbs, internal } = f;
    const app = await runningApp(f, 'handed');
    bbs.afterTasks = async (domain) => {
      if (domain !== 'cf-tasks') return;
      const given = await cc.db
        .updateTable('tasks')
        .set({ desired_at: new Date() })
        .where('desired_at', 'is', null)
        .where('app_guid', '=', app)
        .returning('guid')
        .execute();
      for (const { guid } of given)
        bbs.tasks.set(guid, create(TaskSchema, { taskGuid: guid, domain: 'cf-tasks', state: 'RUNNING' }));
    };
    const { guid } = (await developer.post(`/v3/apps/${app}/tasks`, { command: 'rake' })).body;
    const state = await eventually(async () => {
      const shown = (await developer.get(`/v3/tasks/${guid}`)).body.state;
      return shown !== 'PENDING' && shown;
    });
    bbs.afterTasks = async () => {};
    assert.equal(state, 'RUNNING');
    await internal.taskCompleted({ taskGuid: guid, domain: 'cf-tasks', failed: false, failureReason: '', result: '' });
  });

  it('a task keeps the droplet it was made for, and its limits reach Diego', async () => {
    const { developer, bbs, blobs } = f;
    const app = await runningApp(f, 'tasking');
    const droplet = (await developer.get(`/v3/apps/${app}/droplets/current`)).body.guid;
    const newer = await stage(f, app);
    await developer.patch(`/v3/apps/${app}/relationships/current_droplet`, { data: { guid: newer } });
    const body = { command: 'rake', name: 'old', droplet_guid: droplet, memory_in_mb: 32, disk_in_mb: 64 };
    const limits = { log_rate_limit_in_bytes_per_second: 2048 };
    const task = (await developer.post(`/v3/apps/${app}/tasks`, { ...body, ...limits })).body;
    const there = await eventually(() => bbs.tasks.get(task.guid));
    assert.deepEqual([there.memoryMb, there.diskMb, there.logRateLimitBytesPerSecond], [32, 64, 2048]);
    assert.equal(there.owner?.processType, 'old');
    assert.ok(there.work.case === 'command' && blobs.held.has(`droplets/${droplet}`));
    assert.match(there.work.value.droplet!.url, new RegExp(droplet));
  });

  it('a quota on log rates holds for processes and tasks together', async () => {
    const { developer, cc, organization } = f;
    const app = await runningApp(f, 'loud');
    const space = { data: [{ guid: f.space }] };
    const relationships = { organization: { data: { guid: organization } }, spaces: space };
    for (const process of (await developer.get('/v3/processes')).body.resources) {
      await developer.post(`/v3/processes/${process.guid}/actions/scale`, { log_rate_limit_in_bytes_per_second: 10 });
      // Its instances have the new limit when they are made anew.
      const owner = process.relationships.app.data.guid;
      if ((await developer.get(`/v3/apps/${owner}`)).body.state === 'STARTED') {
        await developer.post(`/v3/apps/${owner}/actions/restart`);
      }
    }
    const quota = { name: 'quiet', apps: { log_rate_limit_in_bytes_per_second: 6000 }, relationships };
    assert.equal((await cc.admin.post('/v3/space_quotas', quota)).status, 201);
    const run = (rate?: number) =>
      developer.post(`/v3/apps/${app}/tasks`, {
        command: 'true',
        ...(rate === undefined ? {} : { log_rate_limit_in_bytes_per_second: rate }),
      });
    assert.match((await run()).body.errors[0].detail, /Log rate limit cannot be unlimited in space 'dev'/);
    assert.match((await run(8192)).body.errors[0].detail, /Log rate quota exceeded for space 'dev'/);
    assert.equal((await run(2048)).status, 202);
    assert.equal((await run(2048)).status, 422, 'what is left is what processes and the other task do not use');
  });
});
