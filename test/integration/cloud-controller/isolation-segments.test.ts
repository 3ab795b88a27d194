import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Trx } from '../../../src/cloud-controller/database.ts';
import { guid } from '../../../src/cloud-controller/guid.ts';
import { grant } from '../../support/apps.ts';
import { guidsOf, type Person } from '../../support/cloud-controller.ts';
import { lock, whileHeld } from '../../support/held.ts';
import { freshName } from '../../support/role-world.ts';
import {
  cc,
  elsewhere,
  foundation,
  maker,
  stranger,
  suiteHasAStranger,
  suiteHasAWorld,
  world,
} from '../../support/suite.ts';

describe('isolation segments', () => {
  suiteHasAWorld();
  suiteHasAStranger();

  it('ISO-04: a segment is seen in an organization that is entitled to it, with what the caller sees of it', async () => {
    const { developer, organization, space } = foundation;
    const segment = (await cc.admin.post('/v3/isolation_segments', { name: 'walled' })).body.guid;
    const path = `/v3/isolation_segments/${segment}`;
    const paths = [
      path,
      `${path}/organizations`,
      `${path}/relationships/organizations`,
      `${path}/relationships/spaces`,
    ];
    const answers = async (person: Person): Promise<number[]> =>
      Promise.all(paths.map(async (each) => (await person.get(each)).status));
    assert.deepEqual(await answers(developer), [404, 404, 404, 404]);
    assert.deepEqual(guidsOf(await developer.get('/v3/isolation_segments?names=walled')), []);
    const entitled = { data: [{ guid: organization }, { guid: elsewhere.organization }] };
    assert.equal((await cc.admin.post(`${path}/relationships/organizations`, entitled)).status, 200);
    const relationship = `/v3/spaces/${space}/relationships/isolation_segment`;
    assert.equal((await cc.admin.patch(relationship, { data: { guid: segment } })).status, 200);
    for (const person of [developer, stranger]) assert.deepEqual(await answers(person), [200, 200, 200, 200]);
    assert.deepEqual(guidsOf(await stranger.get(`${path}/organizations`)), [elsewhere.organization]);
    const related = async (person: Person, what: string) =>
      (await person.get(`${path}/relationships/${what}`)).body.data;
    assert.deepEqual(await related(stranger, 'organizations'), [{ guid: elsewhere.organization }]);
    assert.deepEqual(await related(developer, 'spaces'), [{ guid: space }]);
    assert.deepEqual(await related(stranger, 'spaces'), []);
    // Who sees the organization and no space of it sees the segment, and no space.
    const bookkeeper = await cc.person('bookkeeper');
    await grant(cc, bookkeeper, 'organization_billing_manager', organization);
    assert.deepEqual(await answers(bookkeeper), [200, 200, 200, 200]);
    assert.deepEqual(await related(bookkeeper, 'spaces'), []);
    assert.equal((await developer.patch(path, { name: 'open' })).status, 403);
  });

  it('no space is on a segment that its organization was entitled to until just then', async () => {
    const segment = guid<'isolation_segment'>(await maker.spare('isolation_segments', world));
    const entitlement = (trx: Trx) =>
      trx.deleteFrom('organization_isolation_segments').where('isolation_segment_guid', '=', segment).execute();
    const revoking = async (trx: Trx) => {
      await lock('isolation_segments', segment)(trx);
      await entitlement(trx);
    };
    for (const path of [
      `/v3/spaces/${world.spaces}/relationships/isolation_segment`,
      `/v3/organizations/${world.organizations}/relationships/default_isolation_segment`,
    ]) {
      const assigned = () => cc.admin.patch(path, { data: { guid: segment } });
      const entitled = { data: [{ guid: world.organizations }] };
      await cc.admin.post(`/v3/isolation_segments/${segment}/relationships/organizations`, entitled);
      assert.equal((await whileHeld(cc.db, revoking, assigned)).status, 422, path);
    }
  });

  it('an entitlement that a space comes to use is not revoked', async () => {
    const segment = guid<'isolation_segment'>(await maker.spare('isolation_segments', world));
    const assigning = async (trx: Trx) => {
      await lock('isolation_segments', segment)(trx);
      await trx
        .updateTable('spaces')
        .set({ isolation_segment_guid: segment })
        .where('guid', '=', world.spaces)
        .execute();
    };
    const path = `/v3/isolation_segments/${segment}/relationships/organizations/${world.organizations}`;
    assert.equal((await whileHeld(cc.db, assigning, () => cc.admin.delete(path))).status, 422);
    await cc.db.updateTable('spaces').set({ isolation_segment_guid: null }).where('guid', '=', world.spaces).execute();
  });

  it('a segment that an organization is entitled to meanwhile is not deleted', async () => {
    const { guid } = (await cc.admin.post('/v3/isolation_segments', { name: freshName() })).body;
    const entitling = (trx: Trx) =>
      trx
        .insertInto('organization_isolation_segments')
        .values({ organization_guid: world.organizations, isolation_segment_guid: guid })
        .execute();
    const reply = await whileHeld(cc.db, entitling, () => cc.admin.delete(`/v3/isolation_segments/${guid}`));
    assert.equal(reply.status, 422, JSON.stringify(reply.body));
  });
});
