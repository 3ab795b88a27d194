import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startTestCloudController, type TestCloudController } from '../../support/cloud-controller.ts';

describe('services, of which there are none', () => {
  let cc: TestCloudController;
  before(async () => {
    cc = await startTestCloudController();
  });
  after(() => cc.close());

  it('what is asked for along with an empty list is there, and empty', async () => {
    for (const [path, kinds] of [
      ['service_route_bindings?include=route,service_instance', ['routes', 'service_instances']],
      ['service_credential_bindings?include=app', ['apps']],
      ['service_plans?include=space.organization,service_offering', ['organizations', 'service_offerings', 'spaces']],
      ['service_instances?fields[space]=guid&fields[space.organization]=name', ['organizations', 'spaces']],
      ['service_offerings?fields[service_broker]=guid', ['service_brokers']],
    ] as const) {
      const { included } = (await cc.admin.get(`/v3/${path}`)).body;
      assert.deepEqual(Object.keys(included).sort(), kinds, path);
      assert.ok(
        Object.values(included).every((rows) => Array.isArray(rows) && rows.length === 0),
        path,
      );
    }
    assert.ok(!('included' in (await cc.admin.get('/v3/service_plans')).body));
  });
});
