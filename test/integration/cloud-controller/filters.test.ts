import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Operation } from '../../../src/cloud-controller/operation.ts';
import { operations } from '../../../src/cloud-controller/resources.ts';
import { startTestFoundation, type TestFoundation } from '../../support/apps.ts';
import { NOT_DRIVEN, pathOf } from '../../support/role-matrix.ts';
import { type World, WorldMaker } from '../../support/role-world.ts';

/** Always empty: no service broker can be registered. */
const EMPTY = [
  'GET /v3/service_instances',
  'GET /v3/service_credential_bindings',
  'GET /v3/service_route_bindings',
  'GET /v3/service_brokers',
  'GET /v3/service_offerings',
  'GET /v3/service_plans',
];

/** Takes one value and is no filter of a list, or one that leaves out. Each has a test of its own. */
const OTHERWISE = [
  'GET /v3/audit_events target_guids[not]',
  'GET /v3/domains/:guid/route_reservations host',
  'GET /v3/domains/:guid/route_reservations path',
  'GET /v3/domains/:guid/route_reservations port',
  'DELETE /v3/spaces/:guid/routes unmapped',
  'POST /v3/packages source_guid',
  'POST /v3/droplets source_guid',
];

/** What a filter is refused without. */
const TOGETHER: Readonly<Record<string, string>> = { origins: '&usernames=nobody' };

const NEVER = '2200-01-01T00:00:00Z';

describe('a parameter that an operation declares has its effect', () => {
  let foundation: TestFoundation;
  let world: World;
  before(async () => {
    foundation = await startTestFoundation();
    world = await new WorldMaker(foundation).world();
  });
  after(() => foundation.close());

  const declaring = operations.filter(({ id, query }) => query !== null && !(id in NOT_DRIVEN));
  const lists = declaring.filter(({ id, query }) => query?.list && !EMPTY.includes(id));
  const path = ({ id }: Operation): string => pathOf({ id, at: null }, world);
  const get = (operation: Operation, query: string) => foundation.cc.admin.get(`${path(operation)}?${query}`);

  async function showsNothing(operation: Operation, query: string): Promise<void> {
    const reply = await get(operation, query);
    assert.equal(reply.status, 200, `${operation.id} ${query} ${JSON.stringify(reply.body)}`);
    assert.deepEqual(reply.body.resources ?? reply.body.destinations, [], `${operation.id} ${query}`);
    if (reply.body.pagination) assert.equal(reply.body.pagination.total_results, 0, `${operation.id} ${query}`);
  }

  async function refuses(operation: Operation, query: string): Promise<void> {
    const reply = await get(operation, query);
    assert.equal(reply.status, 400, `${operation.id} ${query} ${JSON.stringify(reply.body)}`);
    assert.equal(reply.body.errors[0].title, 'CF-BadQueryParameter', `${operation.id} ${query}`);
  }

  it('every list shows something here, and by each filter that matches nothing it shows nothing', async () => {
    for (const operation of lists) {
      const reply = await get(operation, '');
      assert.ok(reply.body.resources?.length > 0, `${operation.id} ${JSON.stringify(reply.body)}`);
      await showsNothing(operation, `guids=${crypto.randomUUID()}`);
      const { orderOnlyBy, labels } = operation.query ?? {};
      for (const time of ['created_ats', 'updated_ats']) {
        for (const query of [`${time}[gt]=${NEVER}`, `${time}=${NEVER}`]) {
          await (orderOnlyBy && time === 'created_ats' ? refuses : showsNothing)(operation, query);
        }
      }
      if (labels) await showsNothing(operation, 'label_selector=no-such%3Dvalue');
    }
    for (const operation of declaring) {
      for (const filter of operation.query?.filters ?? []) {
        if (operation.query?.among?.[filter]) continue;
        const value = operation.query?.integers?.includes(filter) ? '2147483647' : 'no-such-thing';
        await showsNothing(operation, `${filter}=${value}${TOGETHER[filter] ?? ''}`);
      }
      for (const filter of operation.query?.integers ?? []) await refuses(operation, `${filter}=x`);
    }
  });

  it('what takes a few values refuses others, and every resource has one of them', async () => {
    const total = async (operation: Operation, query: string): Promise<number> =>
      (await get(operation, query)).body.pagination.total_results;
    for (const operation of declaring) {
      for (const [filter, known] of Object.entries(operation.query?.among ?? {})) {
        await refuses(operation, `${filter}=no-such-thing`);
        const found = await Promise.all(known.map((value) => total(operation, `${filter}=${value}`)));
        const all = found.reduce((sum, one) => sum + one, 0);
        assert.equal(all, await total(operation, ''), `${operation.id} ${filter}`);
      }
    }
  });

  it('every order, every page, every include and embed is done', async () => {
    for (const operation of lists) {
      const { orderBy = [], orderOnlyBy } = operation.query ?? {};
      for (const column of orderOnlyBy ?? ['created_at', 'updated_at', ...orderBy]) {
        for (const sign of ['', '-']) {
          const reply = await get(operation, `order_by=${sign}${column}`);
          assert.equal(reply.status, 200, `${operation.id} ${column} ${JSON.stringify(reply.body)}`);
          assert.ok(reply.body.resources.length > 0);
        }
      }
      await refuses(operation, 'order_by=no_such_column');
      await showsNothingOnPage(operation);
    }
    for (const operation of declaring) {
      for (const [parameter, known] of Object.entries({
        include: operation.query?.include,
        embed: operation.query?.embed,
      })) {
        if (!known) continue;
        for (const name of known) {
          const reply = await get(operation, `${parameter}=${name}`);
          assert.equal(reply.status, 200, `${operation.id} ${name} ${JSON.stringify(reply.body)}`);
          const shown = parameter === 'include' ? reply.body.included : (reply.body.resources?.[0] ?? reply.body)[name];
          assert.ok(shown, `${operation.id} ${parameter}=${name}`);
        }
        await refuses(operation, `${parameter}=no_such_thing`);
      }
    }
  });

  async function showsNothingOnPage(operation: Operation): Promise<void> {
    const far = await get(operation, 'page=1000000&per_page=1');
    assert.deepEqual(far.body.resources, [], operation.id);
    assert.equal((await get(operation, 'per_page=1')).body.resources.length, 1, operation.id);
  }

  it('a value that is none of the few a parameter takes is refused, and so are unknown fields', async () => {
    for (const operation of declaring) {
      for (const [name, { values }] of Object.entries(operation.query?.oneOf ?? {})) {
        await refuses(operation, `${name}=no-such-value`);
        for (const value of values) assert.equal((await get(operation, `${name}=${value}`)).status, 200, operation.id);
      }
      for (const [name, known] of Object.entries(operation.query?.fields ?? {})) {
        await refuses(operation, `fields[${name}]=no_such_field`);
        assert.equal((await get(operation, `fields[${name}]=${known.join(',')}`)).status, 200, operation.id);
      }
    }
    const others = declaring.flatMap(({ id, query }) => (query?.values ?? []).map((name) => `${id} ${name}`));
    assert.deepEqual(others.sort(), OTHERWISE.toSorted());
  });

  it('what the reference refuses is refused: whose it is in the list of one app, what only those lists take', async () => {
    const { admin } = foundation.cc;
    for (const list of ['droplets', 'packages', 'tasks', 'processes', 'builds']) {
      const reply = await admin.get(`/v3/apps/${world.apps}/${list}?app_guids=${world.apps}`);
      assert.equal(reply.status, 400, list);
      if (list === 'builds') continue;
      for (const filter of ['space_guids', 'organization_guids']) {
        assert.equal((await admin.get(`/v3/apps/${world.apps}/${list}?${filter}=x`)).status, 400, `${list} ${filter}`);
      }
    }
    for (const path of [
      '/v3/droplets?current=true',
      `/v3/packages/${world.packages}/droplets?current=true`,
      '/v3/tasks?sequence_ids=1',
      `/v3/apps/${world.apps}/revisions/deployed?versions=1`,
    ]) {
      assert.equal((await admin.get(path)).status, 400, path);
    }
  });

  it('an app’s routes are narrowed by another app, and a list of events leaves out targets', async () => {
    const { admin } = foundation.cc;
    const routes = `/v3/apps/${world.apps}/routes`;
    assert.equal((await admin.get(`${routes}?app_guids=${world.apps}`)).body.resources[0].guid, world.routes);
    assert.deepEqual((await admin.get(`${routes}?app_guids=${crypto.randomUUID()}`)).body.resources, []);
    const events = await admin.get(`/v3/audit_events?per_page=500&target_guids[not]=${world.apps}`);
    const targets: string[] = events.body.resources.map((event: { target: { guid: string } }) => event.target.guid);
    assert.ok(targets.length > 0 && !targets.includes(world.apps));
    const host = (await admin.get(`/v3/routes/${world.routes}`)).body.host;
    const reserved = `/v3/domains/${world.shared_domain}/route_reservations?host=${host}`;
    assert.equal((await admin.get(reserved)).body.matching_route, true);
    assert.equal((await admin.get(`${reserved}&path=/other`)).body.matching_route, false);
    assert.equal((await admin.get(`${reserved}&port=1024`)).body.matching_route, false);
  });
});
