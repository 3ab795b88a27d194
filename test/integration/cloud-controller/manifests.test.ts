import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { sql } from 'kysely';
import {
  eventually,
  newApp,
  runningApp,
  stage,
  startTestFoundation,
  type TestFoundation,
  yaml,
} from '../../support/apps.ts';
import { on } from '../../support/role-world.ts';

describe('manifests', () => {
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
    assert.deepEqual(shown.buildpacks, [
      { name: 'nodejs_buildpack', detect_output: 'node', buildpack_name: 'nodejs', version: '1.0' },
    ]);
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

  it('the manifest of an app can be applied again and changes nothing', async () => {
    const { developer, space, cc } = f;
    const app = await runningApp(f, 'round');
    const response = await fetch(`${cc.url}/v3/apps/${app}/manifest`, {
      headers: { authorization: `bearer ${developer.token}` },
    });
    assert.equal(response.headers.get('content-type'), 'application/x-yaml');
    const text = await response.text();
    const diff = await developer.request('POST', `/v3/spaces/${space}/manifest_diff`, text, yaml);
    assert.deepEqual(diff.body.diff, []);
    const path = `/v3/spaces/${space}/actions/apply_manifest`;
    const job = await developer.finished(await developer.request('POST', path, text, yaml));
    assert.deepEqual(job.body.errors, []);
  });

  it('a route a manifest cannot have fails the job with the app named', async () => {
    const { developer, space } = f;
    const path = `/v3/spaces/${space}/actions/apply_manifest`;
    for (const [route, reason] of [
      ['api.test.example', /For application 'bad-route': .*reserved/],
      ['x.unknown.example', /did not match any existing domains/],
    ] as const) {
      const text = `applications: [{name: bad-route, routes: [{route: ${route}}]}]`;
      const job = await developer.finished(await developer.request('POST', path, text, yaml));
      assert.equal(job.body.state, 'FAILED');
      assert.match(job.body.errors[0].detail, reason);
    }
  });

  describe('another protocol for a route', () => {
    /** What a manifest made of a destination on port 9090, and what was recorded of it. */
    async function changed(name: string) {
      const { developer, space, cc } = f;
      const app = await newApp(f, name);
      const [domain] = (await developer.get('/v3/domains')).body.resources;
      const relationships = { space: on(space), domain: on(domain.guid) };
      const route = (await developer.post('/v3/routes', { host: name, relationships })).body;
      const destinations = `/v3/routes/${route.guid}/destinations`;
      await developer.post(destinations, { destinations: [{ app: { guid: app }, port: 9090 }] });
      const text = `applications: [{name: ${name}, routes: [{route: ${route.url}, protocol: http2}]}]`;
      const path = `/v3/spaces/${space}/actions/apply_manifest`;
      const job = await developer.finished(await developer.request('POST', path, text, yaml));
      assert.deepEqual(job.body.errors, []);
      const { rows: events } = await sql<{ type: string; transaction: string }>`
        SELECT type, xmin::text AS transaction FROM audit_events
        WHERE target_guid = ${app} AND type LIKE '%map-route' ORDER BY id`.execute(cc.db);
      return { destinations: (await developer.get(destinations)).body.destinations, events };
    }

    it('is set on the port where it leads', async () => {
      const { destinations } = await changed('ported');
      assert.deepEqual(
        destinations.map(({ port, protocol }: { port: number; protocol: string }) => [port, protocol]),
        [[9090, 'http2']],
      );
    });

    it('leaves no moment in which it leads nowhere', async () => {
      const [, removed, added] = (await changed('at-every-moment')).events;
      assert.deepEqual([removed?.type, added?.type], ['audit.app.unmap-route', 'audit.app.map-route']);
      assert.equal(removed?.transaction, added?.transaction);
    });
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
    for (const [body, status, why] of [
      [bomb, 400, /the document expands to more than is allowed$/],
      ['['.repeat(100_000), 400, /the document is nested too deeply$/],
      ['applications: {', 400, /the document is not valid YAML$/],
      ['applications: []', 422, /^Cannot parse manifest with no 'applications' field\.$/],
      ['x: 1', 422, /^Cannot parse manifest with no 'applications' field\.$/],
    ] as const) {
      const reply = await f.developer.request('POST', path, body, yaml);
      assert.equal(reply.status, status, body.slice(0, 40));
      assert.match(reply.body.errors[0].detail, why);
    }
    const json = await f.developer.post(path, {});
    assert.equal(json.body.errors[0].detail, 'Content-Type must be yaml');
  });
});
