import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startTestCloudController, type TestCloudController } from '../../support/cloud-controller.ts';

let cc: TestCloudController;
before(async () => {
  cc = await startTestCloudController();
});
after(() => cc.close());

describe('organizations', () => {
  it('an admin makes, reads, renames and deletes one', async () => {
    const made = await cc.admin.post('/v3/organizations', { name: 'acme', metadata: { labels: { tier: 'gold' } } });
    assert.equal(made.status, 201);
    const { guid } = made.body;
    assert.deepEqual(made.body, {
      guid,
      created_at: made.body.created_at,
      updated_at: made.body.created_at,
      name: 'acme',
      suspended: false,
      relationships: { quota: { data: { guid: '00000000-0000-4000-8000-000000000001' } } },
      metadata: { labels: { tier: 'gold' }, annotations: {} },
      links: {
        self: { href: `${cc.url}/v3/organizations/${guid}` },
        domains: { href: `${cc.url}/v3/organizations/${guid}/domains` },
        default_domain: { href: `${cc.url}/v3/organizations/${guid}/domains/default` },
        quota: { href: `${cc.url}/v3/organization_quotas/00000000-0000-4000-8000-000000000001` },
      },
    });
    assert.match(made.body.created_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    const renamed = await cc.admin.patch(`/v3/organizations/${guid}/`, { name: 'acme-2' });
    assert.equal(renamed.body.name, 'acme-2');
    assert.deepEqual(renamed.body.metadata.labels, { tier: 'gold' });
    const job = await cc.admin.finished(await cc.admin.delete(`/v3/organizations/${guid}`));
    assert.equal(job.body.state, 'COMPLETE');
    assert.equal((await cc.admin.get(`/v3/organizations/${guid}`)).status, 404);
  });

  it('a taken name is refused in the words the CLI looks for, whatever its case', async () => {
    await cc.admin.post('/v3/organizations', { name: 'taken' });
    const again = await cc.admin.post('/v3/organizations', { name: 'TAKEN' });
    assert.equal(again.status, 422);
    assert.deepEqual(again.body, {
      errors: [{ code: 10008, title: 'CF-UnprocessableEntity', detail: "Organization 'TAKEN' already exists." }],
    });
  });

  it('somebody without a role in it does not see it, whatever they do (RBAC-02)', async () => {
    const { guid } = (await cc.admin.post('/v3/organizations', { name: 'hidden' })).body;
    const stranger = await cc.person('stranger');
    const path = `/v3/organizations/${guid}`;
    for (const reply of [await stranger.get(path), await stranger.patch(path, {}), await stranger.delete(path)]) {
      assert.equal(reply.status, 404);
      assert.deepEqual(reply.body.errors, [
        { code: 10010, title: 'CF-ResourceNotFound', detail: 'Organization not found' },
      ]);
    }
    assert.equal((await stranger.get('/v3/organizations')).body.pagination.total_results, 0);
    assert.equal((await stranger.post('/v3/organizations', { name: 'mine' })).status, 403);
  });

  it('lists by page, name, label and time', async () => {
    for (const name of ['list-a', 'list-b', 'list-c']) {
      await cc.admin.post('/v3/organizations', { name, metadata: { labels: { set: 'list', letter: name.slice(-1) } } });
    }
    const names = (reply: { body: { resources: { name: string }[] } }): string[] =>
      reply.body.resources.map((item) => item.name);
    const first = await cc.admin.get('/v3/organizations?label_selector=set=list&per_page=2&order_by=-name');
    assert.deepEqual(names(first), ['list-c', 'list-b']);
    assert.equal(first.body.pagination.total_results, 3);
    assert.equal(first.body.pagination.total_pages, 2);
    assert.equal(first.body.pagination.previous, null);
    const second = await cc.admin.get(first.body.pagination.next.href);
    assert.deepEqual(names(second), ['list-a']);
    assert.equal(second.body.pagination.next, null);
    assert.deepEqual(names(await cc.admin.get('/v3/organizations?names=list-a,LIST-B')), ['list-a', 'list-b']);
    const selector = encodeURIComponent('set=list,letter notin (a,b)');
    assert.deepEqual(names(await cc.admin.get(`/v3/organizations?label_selector=${selector}`)), ['list-c']);
    assert.deepEqual(names(await cc.admin.get('/v3/organizations?created_ats[lt]=2020-01-01T00:00:00Z')), []);
  });
});

describe('spaces', () => {
  const on = (guid: string) => ({ data: { guid } });
  const newSpace = (name: string, organization: string) =>
    cc.admin.post('/v3/spaces', { name, relationships: { organization: on(organization) } });

  it('a name is taken once in an organization, whatever its case', async () => {
    const [one, other] = await Promise.all(
      ['with-a-space', 'with-another'].map(
        async (name): Promise<string> => (await cc.admin.post('/v3/organizations', { name })).body.guid,
      ),
    );
    assert.equal((await newSpace('dev', one!)).status, 201);
    const again = await newSpace('DEV', one!);
    assert.deepEqual([again.status, again.body.errors[0].detail], [422, 'Name must be unique per organization']);
    assert.equal((await newSpace('dev', other!)).status, 201);
  });

  it('a space goes with what is in it, and leaves what is in another', async () => {
    const organization = (await cc.admin.post('/v3/organizations', { name: 'of-two-spaces' })).body.guid;
    const domain = (await cc.admin.get('/v3/domains?names=test.example')).body.resources[0].guid;
    const [gone, left] = await Promise.all(
      ['gone', 'left'].map(async (name) => {
        const { guid } = (await newSpace(name, organization)).body;
        const relationships = { space: on(guid) };
        const app = await cc.admin.post('/v3/apps', { name: 'web', relationships });
        const route = { host: name, relationships: { ...relationships, domain: on(domain) } };
        const paths = [
          `/v3/apps/${app.body.guid}`,
          `/v3/routes/${(await cc.admin.post('/v3/routes', route)).body.guid}`,
        ];
        return { guid, paths: [`/v3/spaces/${guid}`, ...paths] };
      }),
    );
    const statuses = ({ paths }: { paths: string[] }) =>
      Promise.all(paths.map(async (path) => (await cc.admin.get(path)).status));
    assert.deepEqual(await statuses(gone!), [200, 200, 200]);
    const job = await cc.admin.finished(await cc.admin.delete(`/v3/spaces/${gone!.guid}`));
    assert.equal(job.body.state, 'COMPLETE', JSON.stringify(job.body));
    assert.deepEqual(await statuses(gone!), [404, 404, 404]);
    assert.deepEqual(await statuses(left!), [200, 200, 200]);
  });
});
