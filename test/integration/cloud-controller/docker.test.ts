import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { sql } from 'kysely';
import { eventually, newApp, runningApp, startTestFoundation, type TestFoundation, yaml } from '../../support/apps.ts';

const DIGEST = `sha256:${'d'.repeat(64)}`;
const PASSWORD = 'planted-registry-password-88';
const IMAGE = 'registry.example.org/team/app:1';

describe('apps of container images', () => {
  let foundation: TestFoundation;
  before(async () => {
    foundation = await startTestFoundation();
  });
  after(() => foundation.close());

  const allow = (enabled: boolean) => foundation.cc.admin.patch('/v3/feature_flags/diego_docker', { enabled });
  const docker = { lifecycle: { type: 'docker', data: {} } };
  const of = (app: string) => ({ relationships: { app: { data: { guid: app } } } });
  const newImagePackage = async (app: string, data: object = { image: IMAGE, username: 'me', password: PASSWORD }) =>
    foundation.developer.post('/v3/packages', { type: 'docker', data, ...of(app) });
  const result = (image = `${IMAGE}@${DIGEST}`) =>
    JSON.stringify({
      lifecycle_type: 'docker',
      lifecycle_metadata: { docker_image: image },
      process_types: { web: '/bin/server --quick' },
      execution_metadata: JSON.stringify({
        cmd: ['/bin/server'],
        ports: [{ Port: 9090, Protocol: 'tcp' }],
        user: 'web',
      }),
    });

  /** As a cell would; gives the droplet. */
  async function stageImage(app: string, answer = result()): Promise<{ build: string; droplet: string }> {
    const { developer, bbs, internal } = foundation;
    const { guid } = (await newImagePackage(app)).body;
    const build = (await developer.post('/v3/builds', { package: { guid }, ...docker })).body;
    const task = await eventually(() => bbs.tasks.get(build.guid));
    await internal.taskCompleted({ taskGuid: build.guid, domain: task.domain, failed: false, result: answer });
    bbs.tasks.delete(build.guid);
    return { build: build.guid, droplet: (await developer.get(`/v3/builds/${build.guid}`)).body.droplet?.guid };
  }

  test('while the feature flag is off, as it is at first, no app of an image is made, built or started', async () => {
    const { developer, space } = foundation;
    const relationships = { space: { data: { guid: space } } };
    const refused = await developer.post('/v3/apps', { name: 'early', relationships, ...docker });
    assert.equal(refused.status, 403);
    assert.deepEqual(refused.body.errors[0], {
      code: 330002,
      title: 'CF-FeatureDisabled',
      detail: 'Feature Disabled: diego_docker',
    });
    const manifest = `applications:\n- name: early\n  docker:\n    image: ${IMAGE}\n`;
    const applied = await developer.request('POST', `/v3/spaces/${space}/actions/apply_manifest`, manifest, yaml);
    assert.equal(applied.status, 422);
    assert.match(applied.body.errors[0].detail, /For application 'early': Feature Disabled: diego_docker/);
    await allow(true);
    const app = await newApp(foundation, 'flagged', docker);
    const { guid } = (await newImagePackage(app)).body;
    const { droplet } = await stageImage(app);
    await developer.patch(`/v3/apps/${app}/relationships/current_droplet`, { data: { guid: droplet } });
    await allow(false);
    assert.equal((await developer.post('/v3/builds', { package: { guid } })).status, 403);
    assert.equal((await developer.post(`/v3/apps/${app}/actions/start`)).status, 403);
    await allow(true);
  });

  test('an image goes from package over build to a droplet pinned by its digest, and to Diego', async () => {
    const { developer, bbs } = foundation;
    const app = await newApp(foundation, 'imaged', docker);
    assert.deepEqual((await developer.get(`/v3/apps/${app}`)).body.lifecycle, { type: 'docker', data: {} });
    const made = await newImagePackage(app);
    assert.equal(made.status, 201);
    assert.deepEqual([made.body.type, made.body.state], ['docker', 'READY']);
    assert.deepEqual(made.body.data, { image: IMAGE, username: 'me', password: '***' });
    assert.deepEqual(Object.keys(made.body.links).sort(), ['app', 'self']);

    const build = (await developer.post('/v3/builds', { package: { guid: made.body.guid } })).body;
    assert.deepEqual(build.lifecycle, { type: 'docker', data: {} });
    const task = await eventually(() => bbs.tasks.get(build.guid));
    assert.equal(task.work.case, 'dockerStaging');
    assert.deepEqual(
      { ...(task.work.case === 'dockerStaging' ? task.work.value.image : {}), $typeName: '' },
      {
        $typeName: '',
        reference: IMAGE,
        username: 'me',
        password: PASSWORD,
      },
    );
    assert.deepEqual([task.environment, task.egressRules], [[], []], 'nothing of the image runs');
    const { domain } = task;
    await foundation.internal.taskCompleted({ taskGuid: build.guid, domain, failed: false, result: result() });
    bbs.tasks.delete(build.guid);

    const { guid } = (await developer.get(`/v3/builds/${build.guid}`)).body.droplet;
    const droplet = (await developer.get(`/v3/droplets/${guid}`)).body;
    assert.deepEqual(
      [droplet.image, droplet.lifecycle.type, droplet.buildpacks, droplet.stack, droplet.checksum],
      [`${IMAGE}@${DIGEST}`, 'docker', null, null, null],
    );
    assert.equal((await developer.get(`/v3/droplets/${guid}/download`)).status, 422);
    await developer.patch(`/v3/apps/${app}/relationships/current_droplet`, { data: { guid } });
    await developer.post(`/v3/apps/${app}/actions/start`);
    const lrp = await eventually(() => [...bbs.lrps.values()].find((one) => one.owner?.appGuid === app));
    assert.deepEqual(
      [lrp.dockerImage?.reference, lrp.dockerImage?.username, lrp.dockerImage?.password, lrp.droplet],
      [`${IMAGE}@${DIGEST}`, 'me', PASSWORD, undefined],
    );
    assert.deepEqual([lrp.startCommand, lrp.ports], ['', [9090]], 'the image starts what it says itself, at its port');
    assert.equal(
      lrp.environment.find(({ name }) => name === 'LANG'),
      undefined,
    );

    const command = '/bin/tool';
    const ran = (await developer.post(`/v3/apps/${app}/tasks`, { command })).body;
    const desired = await eventually(() => bbs.tasks.get(ran.guid));
    assert.equal(desired.work.case === 'command' && desired.work.value.dockerImage?.reference, `${IMAGE}@${DIGEST}`);
  });

  test('CC-02, SECURITY 28: the password is sealed where it lies, and in no answer, event or log', async () => {
    const { cc, developer } = foundation;
    await allow(true);
    const app = await newApp(foundation, 'secretive', docker);
    const sealed = async (table: 'packages' | 'droplets' | 'audit_events' | 'jobs') => {
      const row = sql<string>`${sql.table(table)}::text`.as('row');
      const rows = JSON.stringify(await cc.db.selectFrom(table).select(row).execute());
      assert.ok(!rows.includes(PASSWORD), table);
      assert.ok(!rows.includes(Buffer.from(PASSWORD).toString('hex')), table);
    };
    const made = await newImagePackage(app);
    await sealed('packages');
    const { droplet } = await stageImage(app);
    await developer.patch(`/v3/apps/${app}/relationships/current_droplet`, { data: { guid: droplet } });
    const answers = await Promise.all(
      ['packages', 'builds', 'droplets', 'audit_events', 'apps'].map((name) =>
        cc.admin.get(`/v3/${name}?per_page=500`),
      ),
    );
    const headers = { authorization: `bearer ${developer.token}` };
    const manifest = await (await fetch(`${cc.url}/v3/apps/${app}/manifest`, { headers })).text();
    const lines = foundation.lines.map(({ message }) =>
      message.case === 'log' ? Buffer.from(message.value.payload).toString() : '',
    );
    assert.ok(lines.some((line) => line.includes('Staged build')));
    for (const [what, said] of Object.entries({
      made: made.body,
      answers: answers.map(({ body }) => body),
      manifest,
    })) {
      assert.ok(!JSON.stringify(said).includes(PASSWORD) && JSON.stringify(said).includes(IMAGE), what);
    }
    assert.ok(!lines.join().includes(PASSWORD), 'lines');
    for (const table of ['packages', 'droplets', 'audit_events', 'jobs'] as const) await sealed(table);
  });

  test('credentials of a package can be changed, and a copy of it has none', async () => {
    const { developer, bbs } = foundation;
    const app = await newApp(foundation, 'changing', docker);
    const { guid } = (await newImagePackage(app, { image: IMAGE })).body;
    assert.equal((await developer.get(`/v3/packages/${guid}`)).body.data.password, null);
    const credentials = { username: 'you', password: 'new-one' };
    const changed = await developer.patch(`/v3/packages/${guid}`, credentials);
    assert.deepEqual(changed.body.data, { image: IMAGE, username: 'you', password: '***' });
    const copy = await developer.post(`/v3/packages?source_guid=${guid}`, of(app));
    assert.deepEqual(copy.body.data, { image: IMAGE, username: null, password: null });
    const build = (await developer.post('/v3/builds', { package: { guid } })).body;
    const task = await eventually(() => bbs.tasks.get(build.guid));
    assert.equal(task.work.case === 'dockerStaging' && task.work.value.image?.password, 'new-one');
    await developer.patch(`/v3/packages/${guid}`, { metadata: { labels: { a: '1' } } });
    const { resources } = (await developer.get(`/v3/audit_events?types=audit.app.package.update`)).body;
    const request = { username: 'you', password: '[PRIVATE DATA HIDDEN]' };
    assert.deepEqual(
      resources.map(({ target, data }: { target: { guid: string }; data: object }) => [target.guid, data]),
      [[app, { package_guid: guid, request }]],
      'AUD-01: who changed what a registry asks for, without the password',
    );
  });

  test('images and buildpacks are not mixed', async () => {
    const { developer, space } = foundation;
    const imaged = await newApp(foundation, 'unmixed', docker);
    const built = await newApp(foundation, 'built');
    const cases: [Promise<{ status: number; body: { errors: { detail: string }[] } }>, RegExp][] = [
      [newImagePackage(built), /Cannot create Docker package for a buildpack app/],
      [developer.post('/v3/packages', { type: 'bits', ...of(imaged) }), /Cannot create bits package for a Docker app/],
      [newImagePackage(imaged, {}), /Image required/],
      [developer.post('/v3/packages', { type: 'other', ...of(imaged) }), /Type must be one of 'bits, docker'/],
      [developer.patch(`/v3/apps/${imaged}`, { lifecycle: { type: 'buildpack', data: {} } }), /cannot be changed/],
      [developer.patch(`/v3/apps/${imaged}`, { lifecycle: { data: { buildpacks: ['x'] } } }), /Unknown field/],
      [developer.patch(`/v3/apps/${built}`, { lifecycle: { type: 'docker', data: {} } }), /cannot be changed/],
    ];
    for (const [asked, words] of cases) {
      const { status, body } = await asked;
      assert.equal(status, 422);
      assert.match(body.errors[0]!.detail, words);
    }
    const apply = (text: string) => developer.request('POST', `/v3/spaces/${space}/actions/apply_manifest`, text, yaml);
    const manifests: [string, RegExp][] = [
      ['- name: built\n  docker: {image: x}', /Docker cannot be configured for a buildpack lifecycle app/],
      ['- name: unmixed\n  buildpacks: [nodejs_buildpack]', /Buildpacks cannot be configured for a docker/],
      ['- name: n\n  docker: {image: x}\n  buildpacks: [a]', /Cannot specify both buildpack\(s\) and docker keys/],
      ['- name: n\n  docker: text', /Docker must be an object/],
      ['- name: n\n  lifecycle: cnb', /not included in the list/],
    ];
    for (const [text, words] of manifests) {
      const { status, body } = await apply(`applications:\n${text}\n`);
      assert.equal(status, 422, text);
      assert.match(body.errors[0].detail, words);
    }
    const types = async (type: string) =>
      (await developer.get(`/v3/apps?lifecycle_type=${type}`)).body.resources.map(({ name }: { name: string }) => name);
    assert.ok((await types('docker')).includes('unmixed') && !(await types('docker')).includes('built'));
    assert.ok((await types('buildpack')).includes('built') && !(await types('buildpack')).includes('unmixed'));
  });

  test('a manifest makes an app of an image, shows it again and says what a new one would change', async () => {
    const { developer, space } = foundation;
    const manifest = (tag: string) =>
      `applications:\n- name: described\n  memory: 64M\n  docker:\n    image: registry.example.org/team/app:${tag}\n    username: me\n`;
    const reply = await developer.request('POST', `/v3/spaces/${space}/actions/apply_manifest`, manifest('1'), yaml);
    assert.equal(reply.status, 202, JSON.stringify(reply.body));
    const app = await eventually(
      async () => (await developer.get('/v3/apps?names=described')).body.resources[0]?.guid as string,
    );
    const { droplet } = await stageImage(app);
    await developer.patch(`/v3/apps/${app}/relationships/current_droplet`, { data: { guid: droplet } });
    const diff = async (tag: string) =>
      (await developer.request('POST', `/v3/spaces/${space}/manifest_diff`, manifest(tag), yaml)).body.diff;
    assert.deepEqual(await diff('1'), []);
    assert.deepEqual(await diff('2'), [
      {
        op: 'replace',
        path: '/applications/0/docker/image',
        was: IMAGE,
        value: 'registry.example.org/team/app:2',
      },
    ]);
  });

  test('a cell is not believed blindly: a result that pins no image fails the build', async () => {
    const app = await newApp(foundation, 'doubted', docker);
    for (const answer of ['{}', 'x', result(IMAGE), result(`${IMAGE}@sha256:short`)]) {
      const { build, droplet } = await stageImage(app, answer);
      assert.equal(droplet, undefined);
      assert.equal((await foundation.developer.get(`/v3/builds/${build}`)).body.state, 'FAILED');
    }
  });

  test('taking the feature away stops what runs of images, and leaves the rest', async () => {
    const { bbs, developer } = foundation;
    const built = await runningApp(foundation, 'ordinary');
    const imaged = await newApp(foundation, 'stoppable', docker);
    const { droplet } = await stageImage(imaged);
    await developer.patch(`/v3/apps/${imaged}/relationships/current_droplet`, { data: { guid: droplet } });
    await developer.post(`/v3/apps/${imaged}/actions/start`);
    const owners = () => [...bbs.lrps.values()].map(({ owner }) => owner?.appGuid);
    await eventually(() => owners().includes(imaged) && owners().includes(built));
    await allow(false);
    await developer.post(`/v3/apps/${built}/actions/restart`);
    await eventually(() => !owners().includes(imaged));
    assert.ok(owners().includes(built));
    await allow(true);
  });
});
