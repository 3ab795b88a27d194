import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { egressRulesOf } from '../../../src/cloud-controller/security-groups/store.ts';
import { grant, newSpace } from '../../support/apps.ts';
import { guidsOf, type Person, type Reply } from '../../support/cloud-controller.ts';
import { cc, elsewhere, foundation, stranger, suiteHasAFoundation, suiteHasAStranger } from '../../support/suite.ts';

describe('security groups', () => {
  suiteHasAFoundation();
  suiteHasAStranger();

  it('NET-03: a space has the rules of the global groups and of those bound to it', async () => {
    const { space } = foundation;
    const rules = [{ protocol: 'tcp', destination: '10.0.0.0/24', ports: '443' }];
    const group = (await cc.admin.post('/v3/security_groups', { name: `g-${space}`, rules })).body.guid;
    const before = await egressRulesOf(cc.db, space, 'running');
    assert.ok(before.some((rule) => rule.ports === '53'));
    assert.ok(!before.some((rule) => rule.destination.includes('10.0.0.0')));
    await cc.admin.post(`/v3/security_groups/${group}/relationships/running_spaces`, { data: [{ guid: space }] });
    assert.ok((await egressRulesOf(cc.db, space, 'running')).some((rule) => rule.destination === '10.0.0.0/24'));
    assert.ok(!(await egressRulesOf(cc.db, space, 'staging')).some((rule) => rule.destination === '10.0.0.0/24'));
  });

  it('NET-03: a security group that a caller does not see is not there for them, whatever they try', async () => {
    const { developer, space } = foundation;
    const bound = { running_spaces: { data: [{ guid: space }] } };
    const made = await cc.admin.post('/v3/security_groups', { name: 'inside', relationships: bound });
    const path = `/v3/security_groups/${made.body.guid}`;
    const nothing = `/v3/security_groups/${crypto.randomUUID()}`;
    const attempts = (person: Person, group: string): Promise<Reply[]> =>
      Promise.all([
        person.get(group),
        person.patch(group, { name: 'mine' }),
        person.patch(group, { nonsense: true }),
        person.delete(group),
        person.post(`${group}/relationships/running_spaces`, { data: [{ guid: elsewhere.space }] }),
        person.post(`${group}/relationships/staging_spaces`, { data: [] }),
        person.delete(`${group}/relationships/running_spaces/${space}`),
        person.delete(`${group}/relationships/staging_spaces/${elsewhere.space}`),
      ]);
    const unseen = await attempts(stranger, path);
    for (const reply of unseen) assert.equal(reply.status, 404, JSON.stringify(reply.body));
    assert.deepEqual(
      unseen.map((reply) => reply.body),
      (await attempts(stranger, nothing)).map((reply) => reply.body),
    );
    assert.deepEqual(guidsOf(await stranger.get('/v3/security_groups?names=inside')), []);
    assert.equal((await developer.get(path)).status, 200);
    for (const body of [{ name: 'mine' }, { nonsense: true }])
      assert.equal((await developer.patch(path, body)).status, 403);
    assert.equal((await developer.delete(path)).status, 403);
    // One that holds everywhere everybody sees, and the admin alone changes.
    await cc.admin.patch(path, { globally_enabled: { running: true } });
    assert.equal((await stranger.get(path)).status, 200);
    assert.deepEqual((await stranger.get(path)).body.relationships.running_spaces.data, []);
    assert.equal((await stranger.patch(path, { name: 'mine' })).status, 403);
  });

  it('inside a space its security groups show that space alone, and whoever binds one is asked about each space', async () => {
    const { developer, organization, space } = foundation;
    const beside = await newSpace(cc, organization, 'third');
    const manager = await cc.person('binder');
    await grant(cc, manager, 'organization_manager', organization);
    await grant(cc, manager, 'space_auditor', elsewhere.organization, elsewhere.space);
    const { guid } = (await cc.admin.post('/v3/security_groups', { name: 'both' })).body;
    const bind = (...guids: string[]) =>
      manager.post(`/v3/security_groups/${guid}/relationships/running_spaces`, {
        data: guids.map((one) => ({ guid: one })),
      });
    assert.equal((await bind(space)).status, 404);
    await cc.admin.patch(`/v3/security_groups/${guid}`, { globally_enabled: { staging: true } });
    const nowhere = crypto.randomUUID();
    const missing = await bind(space, nowhere);
    assert.deepEqual(
      [missing.status, missing.body.errors[0].detail],
      [422, `Spaces with guids ["${nowhere}"] do not exist, or you do not have access to them.`],
    );
    const hidden = (await cc.admin.post('/v3/organizations', { name: 'hidden' })).body.guid;
    const unseen = await newSpace(cc, hidden, 'unseen');
    assert.equal(
      (await bind(space, unseen, nowhere, elsewhere.space)).body.errors[0].detail,
      `Spaces with guids ["${unseen}", "${nowhere}"] do not exist, or you do not have access to them.`,
    );
    assert.equal((await bind(space, elsewhere.space)).status, 403);
    const bound = [space, beside].sort().map((one) => ({ guid: one }));
    assert.deepEqual((await bind(space, beside)).body.data, bound);
    const inside = await manager.get(`/v3/spaces/${space}/running_security_groups?names=both`);
    assert.deepEqual(inside.body.resources[0].relationships.running_spaces.data, [{ guid: space }]);
    const alone = await manager.get(`/v3/security_groups/${guid}`);
    assert.deepEqual(alone.body.relationships.running_spaces.data, bound);
    assert.deepEqual((await developer.get(`/v3/security_groups/${guid}`)).body.relationships.running_spaces.data, [
      { guid: space },
    ]);
  });
});
