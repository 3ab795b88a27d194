import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { newApp } from '../../support/apps.ts';
import { guidsOf } from '../../support/cloud-controller.ts';
import { cc, elsewhere, foundation, stranger, suiteHasAFoundation, suiteHasAStranger } from '../../support/suite.ts';

describe('stacks', () => {
  suiteHasAFoundation();
  suiteHasAStranger();

  it('an admin labels a stack; everybody reads it and nobody else changes it', async () => {
    const stack = (await cc.admin.get('/v3/stacks')).body.resources[0];
    const path = `/v3/stacks/${stack.guid}`;
    const metadata = { labels: { tier: 'main' }, annotations: { note: 'kept' } };
    const changed = await cc.admin.patch(path, { metadata });
    assert.equal(changed.status, 200, JSON.stringify(changed.body));
    assert.deepEqual(changed.body.metadata, metadata);
    assert.equal(changed.body.name, stack.name);
    assert.deepEqual((await stranger.get(path)).body.metadata, metadata);
    assert.deepEqual(guidsOf(await stranger.get('/v3/stacks?label_selector=tier%3Dmain')), [stack.guid]);
    assert.equal((await stranger.patch(path, { metadata: { labels: { tier: null } } })).status, 403);
    assert.equal((await cc.admin.patch(path, { name: 'other' })).status, 422);
    assert.equal((await cc.admin.patch(`/v3/stacks/${crypto.randomUUID()}`, { metadata })).status, 404);
    const removed = await cc.admin.patch(path, { metadata: { labels: { tier: null } } });
    assert.deepEqual(removed.body.metadata, { labels: {}, annotations: { note: 'kept' } });
  });

  it('the apps of a stack are those the caller sees, and those alone that use it', async () => {
    const stack = (await cc.admin.get('/v3/stacks')).body.resources[0];
    const path = `/v3/stacks/${stack.guid}/apps`;
    const mine = await newApp(foundation, 'on-the-stack');
    const relationships = { space: { data: { guid: foundation.space } } };
    const image = await cc.admin.patch('/v3/feature_flags/diego_docker', { enabled: true });
    assert.equal(image.status, 200);
    const docker = await foundation.developer.post('/v3/apps', {
      name: 'image',
      relationships,
      lifecycle: { type: 'docker', data: {} },
    });
    assert.equal(docker.status, 201, JSON.stringify(docker.body));
    const shown = guidsOf(await foundation.developer.get(path));
    assert.ok(shown.includes(mine) && !shown.includes(docker.body.guid));
    assert.deepEqual(guidsOf(await stranger.get(path)), []);
    assert.deepEqual(guidsOf(await cc.admin.get(`${path}?names=on-the-stack`)), [mine]);
    assert.deepEqual(guidsOf(await cc.admin.get(`${path}?organization_guids=${elsewhere.organization}`)), []);
    assert.equal((await cc.admin.get(`/v3/stacks/${crypto.randomUUID()}/apps`)).status, 404);
  });
});
