import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
  eventually,
  grant,
  newApp,
  runningApp,
  stage,
  startTestFoundation,
  type TestFoundation,
} from '../../support/apps.ts';

describe('sidecars', () => {
  let f: TestFoundation;
  before(async () => {
    f = await startTestFoundation();
  });
  after(() => f.close());

  const sidecar = (more: object = {}) => ({ name: 'proxy', command: './proxy', process_types: ['web'], ...more });

  it('a sidecar is made, listed, changed and deleted, and runs beside the processes it names', async () => {
    const { developer, bbs } = f;
    const app = await runningApp(f, 'beside');
    const made = await developer.post(`/v3/apps/${app}/sidecars`, sidecar({ memory_in_mb: 64 }));
    assert.equal(made.status, 201);
    assert.deepEqual(
      [made.body.name, made.body.process_types, made.body.memory_in_mb, made.body.origin],
      ['proxy', ['web'], 64, 'user'],
    );
    const again = await developer.post(`/v3/apps/${app}/sidecars`, sidecar());
    assert.equal(again.body.errors[0].detail, "Sidecar with name 'proxy' already exists for given app");
    assert.equal((await developer.get(`/v3/sidecars/${made.body.guid}`)).body.command, './proxy');
    const processes = (await developer.get(`/v3/apps/${app}/processes`)).body.resources;
    const counts = await Promise.all(
      ['web', 'worker'].map(async (type) => {
        const { guid } = processes.find((process: { type: string }) => process.type === type);
        return (await developer.get(`/v3/processes/${guid}/sidecars`)).body.resources.length;
      }),
    );
    assert.deepEqual(counts, [1, 0]);
    await developer.post(`/v3/apps/${app}/actions/restart`);
    const { guid, version } = (await developer.get(`/v3/apps/${app}/processes/web`)).body;
    const lrp = await eventually(() => bbs.lrps.get(`${guid}-${version}`));
    assert.deepEqual(
      lrp.sidecars.map(({ name, command, memoryMb }) => [name, command, memoryMb]),
      [['proxy', './proxy', 64]],
    );
    const path = `/v3/sidecars/${made.body.guid}`;
    const changed = await developer.patch(path, { command: './other', memory_in_mb: null, process_types: ['worker'] });
    assert.deepEqual([changed.body.command, changed.body.memory_in_mb], ['./other', null]);
    assert.equal((await developer.patch(path, { nonsense: 1 })).status, 422);
    assert.equal((await developer.request('DELETE', path)).status, 204);
    assert.equal((await developer.get(path)).status, 404);
  });

  it('sidecars of a droplet come and go with it, and a person’s of the same name is not overwritten', async () => {
    const { developer } = f;
    const app = await runningApp(f, 'supplied');
    const assign = async (sidecars: object[]) =>
      developer.patch(`/v3/apps/${app}/relationships/current_droplet`, {
        data: { guid: await stage(f, app, sidecars) },
      });
    const agent = { name: 'agent', command: './agent', process_types: ['web'], memory_in_mb: 16 };
    const listed = async () =>
      (await developer.get(`/v3/apps/${app}/sidecars`)).body.resources.map(
        ({ name, origin }: { name: string; origin: string }) => [name, origin],
      );
    assert.equal((await assign([agent, { name: 'no command' }])).status, 200);
    assert.deepEqual(await listed(), [['agent', 'buildpack']]);
    await assign([]);
    assert.deepEqual(await listed(), []);
    await developer.post(`/v3/apps/${app}/sidecars`, sidecar({ name: 'agent' }));
    const refused = await assign([agent]);
    assert.match(refused.body.errors[0].detail, /Buildpack defined sidecar 'agent' conflicts/);
    assert.deepEqual(await listed(), [['agent', 'user']]);
  });

  it('sidecars leave memory for their process, whichever of the two is changed', async () => {
    const { developer } = f;
    const app = await runningApp(f, 'narrow');
    const scale = (memory: number) =>
      developer.post(`/v3/apps/${app}/processes/web/actions/scale`, { memory_in_mb: memory });
    await scale(128);
    const words = 'The memory allocation defined is too large to run with the dependent "web" process';
    const refused = await developer.post(`/v3/apps/${app}/sidecars`, sidecar({ memory_in_mb: 128 }));
    assert.deepEqual([refused.status, refused.body.errors[0].detail], [422, words]);
    const made = await developer.post(`/v3/apps/${app}/sidecars`, sidecar({ memory_in_mb: 100 }));
    const second = await developer.post(`/v3/apps/${app}/sidecars`, sidecar({ name: 'b', memory_in_mb: 28 }));
    assert.equal(second.status, 422);
    assert.equal((await developer.patch(`/v3/sidecars/${made.body.guid}`, { memory_in_mb: 128 })).status, 422);
    assert.equal((await scale(100)).body.errors[0].detail, words);
    assert.equal((await developer.get(`/v3/apps/${app}/processes/web`)).body.memory_in_mb, 128);
  });

  it('RBAC-02: sidecars are seen by those who see the app, and changed by its developers', async () => {
    const { cc, developer } = f;
    const app = await newApp(f, 'guarded');
    const { guid } = (await developer.post(`/v3/apps/${app}/sidecars`, sidecar())).body;
    const [auditor, stranger] = [await cc.person('auditor'), await cc.person('stranger')];
    await grant(cc, auditor, 'space_auditor', f.organization, f.space);
    assert.equal((await auditor.get(`/v3/sidecars/${guid}`)).status, 200);
    assert.equal((await auditor.patch(`/v3/sidecars/${guid}`, { command: 'evil' })).status, 403);
    assert.equal((await auditor.request('DELETE', `/v3/sidecars/${guid}`)).status, 403);
    for (const method of ['GET', 'PATCH', 'DELETE']) {
      const body = method === 'PATCH' ? { command: 'evil' } : undefined;
      assert.equal((await stranger.request(method, `/v3/sidecars/${guid}`, body)).status, 404, method);
    }
    assert.equal((await stranger.post(`/v3/apps/${app}/sidecars`, sidecar())).status, 404);
  });
});
