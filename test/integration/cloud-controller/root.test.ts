import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { operations } from '../../../src/cloud-controller/resources.ts';
import { startTestCloudController, type TestCloudController } from '../../support/cloud-controller.ts';

describe('the root', () => {
  let cc: TestCloudController;
  before(async () => {
    cc = await startTestCloudController();
  });
  after(() => cc.close());

  it('the root names what is served, and nothing else', async () => {
    const { links } = (await cc.admin.get('/')).body;
    for (const absent of ['network_policy_v1', 'routing', 'log_stream', 'cloud_controller_v2']) {
      assert.equal(links[absent], null, absent);
    }
    const collections = Object.keys((await cc.admin.get('/v3')).body.links).filter((name) => name !== 'self');
    assert.ok(collections.length > 25);
    for (const name of collections) {
      const beneath = operations.some(({ id }) => id.startsWith(`GET /v3/${name}/:`));
      const reply = await cc.admin.get(`/v3/${name}`);
      if (reply.status === 404) assert.ok(beneath || name === 'resource_matches', name);
      else assert.equal(reply.status, 200, name);
    }
    const unlinked = operations.flatMap(({ id }) => /^GET \/v3\/(\w+)$/.exec(id)?.[1] ?? []);
    assert.deepEqual(
      unlinked.filter((name) => !collections.includes(name)),
      [],
    );
    const older = (await cc.admin.get('/v2/info')).body;
    assert.equal(older.api_version, '', 'as the root document says: v2 is not here');
    assert.deepEqual(
      [older.authorization_endpoint, older.token_endpoint, older.app_ssh_endpoint, older.doppler_logging_endpoint],
      [links.login.href, links.uaa.href, links.app_ssh.href, links.logging],
    );
    assert.deepEqual(
      { host_key_fingerprint: older.app_ssh_host_key_fingerprint, oauth_client: older.app_ssh_oauth_client },
      links.app_ssh.meta,
    );
  });
});
