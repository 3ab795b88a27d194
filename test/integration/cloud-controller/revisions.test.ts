import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { grant, runningApp, startTestFoundation, type TestFoundation } from '../../support/apps.ts';

describe('revisions', () => {
  let f: TestFoundation;
  before(async () => {
    f = await startTestFoundation();
  });
  after(() => f.close());

  it('a revision keeps the variables its app had, for those who may read secrets', async () => {
    const { cc, developer, organization, space } = f;
    const app = await runningApp(f, 'revised');
    const [{ guid }] = (await developer.get(`/v3/apps/${app}/revisions`)).body.resources;
    const [supporter, auditor] = [await cc.person('supporter'), await cc.person('auditor')];
    await grant(cc, supporter, 'space_supporter', organization, space);
    await grant(cc, auditor, 'organization_auditor', organization);
    const path = `/v3/revisions/${guid}/environment_variables`;
    assert.equal((await developer.get(path)).status, 200);
    assert.equal((await supporter.get(path)).status, 403);
    assert.equal((await auditor.get(path)).status, 404);
  });
});
