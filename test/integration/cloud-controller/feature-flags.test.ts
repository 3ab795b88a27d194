import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Trx } from '../../../src/cloud-controller/database.ts';
import { grant, newApp, startTestFoundation, type TestFoundation } from '../../support/apps.ts';
import type { Person, Reply } from '../../support/cloud-controller.ts';
import { whileHeld } from '../../support/held.ts';

const SECRET = 'planted-5ecret-variable';

describe('feature flags', () => {
  let f: TestFoundation;
  let app: string;
  let supporter: Person;
  before(async () => {
    f = await startTestFoundation();
    app = await newApp(f, 'hidden');
    supporter = await f.cc.person('supporter');
    await grant(f.cc, supporter, 'space_supporter', f.organization, f.space);
    const set = await f.developer.patch(`/v3/apps/${app}/environment_variables`, { var: { KEY: SECRET } });
    assert.deepEqual(set.body.var, { KEY: SECRET });
  });
  after(() => f.close());

  /** Every operation whose answer may hold an app's variables, as text. */
  async function answers(person: Person): Promise<Record<string, string>> {
    const path = `/v3/apps/${app}`;
    const manifest = 'applications:\n- name: hidden\n  env: {KEY: guessed}\n';
    const text = async (method: string, path: string, body?: unknown, type = 'application/json') => {
      const response = await fetch(`${f.cc.url}${path}`, {
        method,
        headers: { authorization: `bearer ${person.token}`, ...(body === undefined ? {} : { 'content-type': type }) },
        ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      });
      return `${response.status} ${await response.text()}`;
    };
    return {
      env: await text('GET', `${path}/env`),
      variables: await text('GET', `${path}/environment_variables`),
      change: await text('PATCH', `${path}/environment_variables`, { var: {} }),
      manifest: await text('GET', `${path}/manifest`),
      difference: await text('POST', `/v3/spaces/${f.space}/manifest_diff`, manifest, 'application/x-yaml'),
    };
  }

  it('a flag is ordered by its name and found by the time of its change', async () => {
    const { admin } = f.cc;
    const names = async (query: string): Promise<string[]> =>
      (await admin.get(`/v3/feature_flags?per_page=500&${query}`)).body.resources.map(
        (flag: { name: string }) => flag.name,
      );
    const up = await names('order_by=name');
    assert.deepEqual(up, up.toSorted());
    assert.deepEqual(await names('order_by=-name'), up.toReversed());
    await admin.patch('/v3/feature_flags/task_creation', { enabled: true });
    assert.deepEqual(await names('updated_ats[gt]=2020-01-01T00:00:00Z'), ['task_creation']);
    const paged = await admin.get('/v3/feature_flags?order_by=-name&per_page=1&page=2');
    assert.deepEqual(paged.body.resources[0].name, up.at(-2));
  });

  for (const flag of ['env_var_visibility', 'space_developer_env_var_visibility']) {
    it(`SECURITY 28: with ${flag} off no operation shows them to anybody but an admin`, async () => {
      const shown = await answers(f.developer);
      assert.deepEqual(
        Object.values(shown).map((answer) => answer.includes(SECRET)),
        [true, true, true, true, true],
        JSON.stringify(shown),
      );
      assert.equal((await f.cc.admin.patch(`/v3/feature_flags/${flag}`, { enabled: false })).status, 200);
      try {
        for (const person of [f.developer, supporter]) {
          const hidden = await answers(person);
          for (const [name, answer] of Object.entries(hidden)) assert.ok(!answer.includes(SECRET), `${name} ${answer}`);
          assert.match(hidden['env'] ?? '', new RegExp(`^403 .*Feature Disabled: ${flag}`));
          assert.match(hidden['change'] ?? '', /^200 .*"var":\{\}/);
        }
        assert.match((await answers(f.developer))['manifest'] ?? '', /^200 .*\n *- name: hidden/);
        for (const answer of Object.values(await answers(f.cc.admin))) assert.ok(answer.includes(SECRET), answer);
      } finally {
        await f.cc.admin.patch(`/v3/feature_flags/${flag}`, { enabled: true });
      }
    });
  }

  const ok = (reply: Reply) => assert.equal(reply.status, 200, JSON.stringify(reply.body));

  it('who may not read them still changes them, and is told what they set', async () => {
    const path = `/v3/apps/${app}/environment_variables`;
    await f.cc.admin.patch('/v3/feature_flags/env_var_visibility', { enabled: false });
    try {
      const changed = await f.developer.patch(path, { var: { MINE: 'set', GONE: null } });
      assert.deepEqual([changed.status, changed.body.var], [200, { MINE: 'set' }]);
      assert.deepEqual((await f.cc.admin.get(path)).body.var, { KEY: SECRET, MINE: 'set' });
    } finally {
      await f.cc.admin.patch('/v3/feature_flags/env_var_visibility', { enabled: true });
    }
  });

  it('feature flags: one that is turned off stays off, whoever words its message meanwhile', async () => {
    const { cc } = f;
    const path = '/v3/feature_flags/task_creation';
    ok(await cc.admin.patch(path, { enabled: true }));
    const off = (trx: Trx) =>
      trx.updateTable('feature_flags').set({ enabled: false }).where('name', '=', 'task_creation').execute();
    ok(await whileHeld(cc.db, off, () => cc.admin.patch(path, { custom_error_message: 'ask us' })));
    const { enabled, custom_error_message: message } = (await cc.admin.get(path)).body;
    assert.deepEqual([enabled, message], [false, 'ask us']);
  });
});
