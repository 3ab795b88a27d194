import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { sql } from 'kysely';
import type { Trx } from '../../../src/cloud-controller/database.ts';
import { Logger } from '../../../src/kit/log.ts';
import { type Reply, startTestCloudController, type TestCloudController } from '../../support/cloud-controller.ts';
import { whileHeld } from '../../support/held.ts';

describe('environment variable groups', () => {
  let cc: TestCloudController;
  const logged: string[] = [];
  before(async () => {
    cc = await startTestCloudController({ log: new Logger('cc', {}, (line) => logged.push(line)) });
  });
  after(() => cc.close());

  const detail = (reply: Reply): string => reply.body.errors[0].detail;

  it('what an environment variable group holds is unreadable in the database, the log and the events (CC-02, SECURITY 28)', async () => {
    const planted = 'planted-secret-value';
    const reply = await cc.admin.patch('/v3/environment_variable_groups/running', { var: { TOKEN: planted } });
    assert.equal(reply.body.var.TOKEN, planted);
    const rows = await cc.db.selectFrom('environment_variable_groups').selectAll().execute();
    assert.ok(rows.length === 1 && rows.every((row) => !row.data.toString('latin1').includes(planted)));
    assert.ok(!JSON.stringify(await cc.db.selectFrom('audit_events').selectAll().execute()).includes(planted));
    assert.ok(!logged.join('').includes(planted));
  });

  it('an environment variable group takes no variable that an app may not have', async () => {
    const set = (variables: object) => cc.admin.patch('/v3/environment_variable_groups/running', { var: variables });
    assert.equal(detail(await set({ PORT: '1' })), 'Var cannot set PORT');
    assert.equal(detail(await set({ VCAP_X: '1' })), 'Var cannot start with VCAP_');
    assert.equal(detail(await set({ A: 1 })), "Non-string value in environment variable for key 'A', value '1'");
    assert.equal((await set({})).status, 200);
  });

  it('environment variable groups: variables that two callers set at once are all there', async () => {
    const path = '/v3/environment_variable_groups/running';
    for (const round of ['first', 'later']) {
      const names = [1, 2, 3, 4].map((n) => `${round}_${n}`);
      const lock = (trx: Trx) => sql`LOCK TABLE environment_variable_groups IN SHARE MODE`.execute(trx);
      const calls = () => Promise.all(names.map((name) => cc.admin.patch(path, { var: { [name]: 'set' } })));
      for (const reply of await whileHeld(cc.db, lock, calls, { waiting: names.length }))
        assert.equal(reply.status, 200, JSON.stringify(reply.body));
      const { var: variables } = (await cc.admin.get(path)).body;
      assert.deepEqual(
        names.filter((name) => variables[name] !== 'set'),
        [],
        JSON.stringify(variables),
      );
    }
  });
});
