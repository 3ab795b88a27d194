import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { grant, newApp, runningApp, startTestFoundation, type TestFoundation } from '../../support/apps.ts';
import type { Person } from '../../support/cloud-controller.ts';

describe('who may open a session in an app', () => {
  let f: TestFoundation;
  let app: string;
  before(async () => {
    f = await startTestFoundation();
    app = await runningApp(f, 'shelly');
  });
  after(() => f.close());

  const ask = (person: Person, index = 0, guid = app) =>
    f.internal.sshAccess({ accessToken: person.token, processGuid: guid, index });
  const allowed = async (person: Person, index = 0, guid = app) => (await ask(person, index, guid)).allowed;
  async function events(verb: 'authorized' | 'unauthorized', guid = app) {
    const reply = await f.cc.admin.get(
      `/v3/audit_events?types=audit.app.ssh-${verb}&target_guids=${guid}&per_page=200&order_by=-created_at`,
    );
    return reply.body.resources as { actor: { guid: string; name: string }; data: object; space: { guid: string } }[];
  }

  it('CC-04: its space developers and the admin may, and learn what Diego calls it', async () => {
    const process = (await f.cc.admin.get(`/v3/apps/${app}/processes/web`)).body;
    const answer = await ask(f.developer);
    assert.equal(answer.allowed, true);
    assert.equal(answer.owner?.appGuid, app);
    assert.equal(answer.userGuid, f.developer.guid);
    assert.equal(answer.lrpProcessGuid, `${process.guid}-${process.version}`);
    assert.equal(await allowed(f.cc.admin), true);
    assert.equal(await allowed(f.developer, 0, process.guid), true);
  });

  it('nobody else may: not a supporter, an auditor, a manager, a stranger, a reader of everything', async () => {
    const { cc, organization, space } = f;
    for (const role of ['space_supporter', 'space_auditor', 'space_manager']) {
      const person = await cc.person(role);
      await grant(cc, person, role, organization, space);
      assert.equal(await allowed(person), false, role);
    }
    for (const role of ['organization_manager', 'organization_auditor']) {
      const person = await cc.person(role);
      await grant(cc, person, role, organization);
      assert.equal(await allowed(person), false, role);
    }
    assert.equal(await allowed(await cc.person('stranger')), false);
    const reader = ['cloud_controller.read', 'cloud_controller.admin_read_only'];
    assert.equal(await allowed(await cc.person('reader', reader)), false);
    const narrow = await cc.person('narrow', ['cloud_controller.read']);
    await grant(cc, narrow, 'space_developer', organization, space);
    assert.equal(await allowed(narrow), false, 'a token that may only read');
  });

  it('a token that is no good may not, whatever it says', async () => {
    for (const token of ['', 'x', `${f.cc.admin.token.slice(0, -6)}AAAAAA`]) {
      assert.equal((await f.internal.sshAccess({ accessToken: token, processGuid: app, index: 0 })).allowed, false);
    }
  });

  it('only instances there ought to be, of apps that are started', async () => {
    assert.equal(await allowed(f.developer, 1), false, 'out of range');
    assert.equal(await allowed(f.developer, 4_000_000_000), false, 'far out of range');
    assert.equal(await allowed(f.developer, 0, crypto.randomUUID()), false, 'no such process');
    assert.equal(await allowed(f.developer, 0, await newApp(f, 'stopped')), false, 'stopped');
  });

  it('CC-03: space and app have a switch, which works at once and is told by ssh_enabled', async () => {
    const enabled = async () => (await f.developer.get(`/v3/apps/${app}/ssh_enabled`)).body;
    assert.deepEqual(await enabled(), { enabled: true, reason: '' });

    await f.developer.patch(`/v3/apps/${app}/features/ssh`, { enabled: false });
    assert.deepEqual(await enabled(), { enabled: false, reason: 'Disabled for app' });
    assert.equal(await allowed(f.developer), false);
    assert.equal(await allowed(f.cc.admin), false);
    await f.developer.patch(`/v3/apps/${app}/features/ssh`, { enabled: true });
    assert.equal(await allowed(f.developer), true);

    const turned = await f.cc.admin.patch(`/v3/spaces/${f.space}/features/ssh`, { enabled: false });
    assert.equal(turned.status, 200);
    assert.deepEqual(await enabled(), { enabled: false, reason: 'Disabled for space dev' });
    assert.equal(await allowed(f.developer), false);
    assert.equal(await allowed(f.cc.admin), false);
    await f.cc.admin.patch(`/v3/spaces/${f.space}/features/ssh`, { enabled: true });
    assert.equal(await allowed(f.developer), true);
  });

  it('AUD-01: each answer leaves an event: who, which instance, whether', async () => {
    const own = await runningApp(f, 'watched');
    const stranger = await f.cc.person('peeping');
    await ask(f.developer, 0, own);
    await ask(stranger, 0, own);
    await ask(f.developer, 9, own);
    const [yes, ...more] = await events('authorized', own);
    assert.deepEqual([yes?.actor.guid, yes?.data, yes?.space.guid], [f.developer.guid, { index: 0 }, f.space]);
    assert.equal(more.length, 0);
    const no = await events('unauthorized', own);
    assert.deepEqual(new Set(no.map(({ actor }) => actor.name)), new Set(['peeping', 'dev']));
    assert.deepEqual(new Set(no.map(({ data }) => JSON.stringify(data))), new Set(['{"index":0}', '{"index":9}']));
  });

  it('clients are told where, with which key and through which client', async () => {
    const { app_ssh: link } = (await f.cc.anonymous.get('/')).body.links;
    assert.equal(link.href, 'ssh.test:2222');
    assert.match(link.meta.host_key_fingerprint, /^[A-Za-z0-9+/]{43}$/);
    assert.equal(link.meta.oauth_client, 'ssh-proxy');
  });
});

describe('a platform without SSH', () => {
  it('CC-03: nobody may, whatever space and app say', async () => {
    const f = await startTestFoundation({ ssh: false });
    try {
      const app = await runningApp(f, 'closed');
      assert.deepEqual((await f.developer.get(`/v3/apps/${app}/ssh_enabled`)).body, {
        enabled: false,
        reason: 'Disabled globally',
      });
      for (const { token } of [f.developer, f.cc.admin]) {
        const answer = await f.internal.sshAccess({ accessToken: token, processGuid: app, index: 0 });
        assert.equal(answer.allowed, false);
      }
      assert.equal((await f.cc.anonymous.get('/')).body.links.app_ssh, null);
    } finally {
      await f.close();
    }
  });
});
