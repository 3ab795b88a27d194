import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Trx } from '../../../src/cloud-controller/database.ts';
import { insertRole } from '../../../src/cloud-controller/roles/store.ts';
import type { Reply } from '../../support/cloud-controller.ts';
import { lock, whileHeld } from '../../support/held.ts';
import { freshName, on } from '../../support/role-world.ts';
import { cc, eventTypesAfter, lastEvent, maker, suiteHasAWorld, world } from '../../support/suite.ts';

describe('roles', () => {
  suiteHasAWorld();

  const detail = (reply: Reply): string => reply.body.errors[0].detail;
  let serial = 0;

  async function makeSpace(): Promise<{ organization: string; space: string; name: string }> {
    const name = `n${++serial}`;
    const organization = (await cc.admin.post('/v3/organizations', { name })).body.guid;
    const space = await cc.admin.post('/v3/spaces', { name, relationships: { organization: on(organization) } });
    return { organization, space: space.body.guid, name };
  }

  it('a space role needs a role in the organization; names and repeats are answered in the words the CLI knows', async () => {
    const { organization, space, name } = await makeSpace();
    const user = await cc.person('Dora');
    const inSpace = {
      type: 'space_developer',
      relationships: { user: { data: { username: 'dora' } }, space: on(space) },
    };
    const early = await cc.admin.post('/v3/roles', inSpace);
    assert.equal(early.status, 422);
    assert.match(detail(early), /^Users cannot be assigned roles in a space if they do not have a role/);
    const inOrganization = {
      type: 'organization_user',
      relationships: { user: { data: { guid: user.guid } }, organization: on(organization) },
    };
    const first = await cc.admin.post('/v3/roles', inOrganization);
    assert.equal(first.status, 201);
    const again = await cc.admin.post('/v3/roles', inOrganization);
    assert.equal(detail(again), `User 'Dora' already has 'organization_user' role in organization '${name}'.`);
    const role = await cc.admin.post('/v3/roles', inSpace);
    assert.equal(role.status, 201, JSON.stringify(role.body));
    const blocked = await cc.admin.delete(`/v3/roles/${first.body.guid}`);
    assert.match(detail(blocked), /^Cannot delete organization_user role while user has roles in spaces/);
    const unknown = await cc.admin.post('/v3/roles', {
      ...inOrganization,
      relationships: { ...inOrganization.relationships, user: { data: { username: 'nobody' } } },
    });
    assert.equal(detail(unknown), "No user exists with the username 'nobody'.");
    const listed = await user.get(`/v3/roles?space_guids=${space}&include=user,space`);
    assert.equal(listed.body.resources.length, 1);
    assert.equal(listed.body.included.users[0].username, 'Dora');
    assert.equal(listed.body.included.spaces[0].guid, space);
    assert.equal(
      (await cc.admin.finished(await cc.admin.delete(`/v3/roles/${role.body.guid}`))).body.state,
      'COMPLETE',
    );
    const events = await cc.admin.get(`/v3/audit_events?target_guids=${user.guid}&order_by=created_at`);
    assert.deepEqual(
      events.body.resources.map((event: { type: string }) => event.type),
      ['audit.user.organization_user_add', 'audit.user.space_developer_add', 'audit.user.space_developer_remove'],
    );
  });

  it('with set_roles_by_username off nobody gives a role by a name, and by a guid as before', async () => {
    const { organization } = await makeSpace();
    const user = await cc.person('Nadia');
    const give = (data: object) =>
      cc.admin.post('/v3/roles', {
        type: 'organization_user',
        relationships: { user: { data }, organization: on(organization) },
      });
    assert.equal((await cc.admin.patch('/v3/feature_flags/set_roles_by_username', { enabled: false })).status, 200);
    try {
      const refused = await give({ username: 'nadia' });
      assert.equal(refused.status, 403);
      assert.equal(detail(refused), 'Feature Disabled: set_roles_by_username');
      assert.equal((await give({ guid: user.guid })).status, 201);
    } finally {
      await cc.admin.patch('/v3/feature_flags/set_roles_by_username', { enabled: true });
    }
  });

  it('a manager of one organization gives no roles in another, and a space manager none in the organization', async () => {
    const mine = await makeSpace();
    const other = await makeSpace();
    const manager = await cc.person('mona');
    const give = (type: string, place: object, guid: string) => ({
      type,
      relationships: { user: { data: { guid } }, ...place },
    });
    await cc.admin.post('/v3/roles', give('organization_user', { organization: on(mine.organization) }, manager.guid));
    await cc.admin.post('/v3/roles', give('space_manager', { space: on(mine.space) }, manager.guid));
    const up = give('organization_manager', { organization: on(mine.organization) }, manager.guid);
    assert.equal((await manager.post('/v3/roles', up)).status, 403);
    const out = give('space_manager', { space: on(other.space) }, manager.guid);
    assert.equal((await manager.post('/v3/roles', out)).status, 422);
    assert.equal(
      (await manager.post('/v3/roles', give('space_developer', { space: on(mine.space) }, manager.guid))).status,
      201,
    );
  });

  it('who is given a role in a space meanwhile stays in its organization', async () => {
    const person = await cc.person(freshName());
    await person.get('/v3/organizations');
    const user = on(person.guid);
    const organization = on(world.organizations);
    const member = { type: 'organization_user', relationships: { user, organization } };
    const { guid } = (await cc.admin.post('/v3/roles', member)).body;
    const giving = async (trx: Trx) => {
      await lock('users', person.guid)(trx);
      await insertRole(trx, { type: 'space_auditor', userGuid: person.guid, spaceGuid: world.spaces });
    };
    const deleted = async () => cc.admin.finished(await cc.admin.delete(`/v3/roles/${guid}`));
    const job = await whileHeld(cc.db, giving, deleted);
    assert.equal(job.body.state, 'FAILED');
    assert.match(job.body.errors[0].detail, /^Cannot delete organization_user role while/);
    assert.equal((await cc.admin.get(`/v3/roles/${guid}`)).status, 200);

    const other = await cc.person(freshName());
    await other.get('/v3/organizations');
    const membership = (
      await cc.admin.post('/v3/roles', { ...member, relationships: { user: on(other.guid), organization } })
    ).body.guid;
    const taking = async (trx: Trx) => {
      await lock('users', other.guid)(trx);
      await trx.deleteFrom('roles').where('guid', '=', membership).execute();
    };
    const relationships = { user: on(other.guid), space: on(world.spaces) };
    const given = await whileHeld(cc.db, taking, () =>
      cc.admin.post('/v3/roles', { type: 'space_auditor', relationships }),
    );
    assert.equal(given.status, 422);
  });

  it('AUD-01: a role that somebody is given while they are deleted goes with them, and leaves its event', async () => {
    const person = await maker.spare('users', world);
    const before = await lastEvent();
    const giving = async (trx: Trx) => {
      await lock('users', person)(trx);
      await insertRole(trx, { type: 'organization_auditor', userGuid: person, organizationGuid: world.organizations });
    };
    const deleted = async () => cc.admin.finished(await cc.admin.delete(`/v3/users/${person}`));
    const job = await whileHeld(cc.db, giving, deleted);
    assert.equal(job.body.state, 'COMPLETE');
    const removed = ['audit.user.organization_user_remove', 'audit.user.organization_auditor_remove'];
    assert.deepEqual(await eventTypesAfter(before), [...removed, 'audit.user.delete']);
    assert.equal((await cc.admin.get(`/v3/users/${person}`)).status, 404);
  });
});
