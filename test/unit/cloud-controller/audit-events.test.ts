import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DummyDriver, Kysely, PostgresAdapter, PostgresIntrospector, PostgresQueryCompiler } from 'kysely';
import { checkRecorded, withCheckedEvents } from '../../../src/cloud-controller/audit-events/check.ts';
import { type AuditEvent, auditEvent } from '../../../src/cloud-controller/audit-events/event.ts';
import { redact } from '../../../src/cloud-controller/audit-events/redact.ts';
import { recordEvent } from '../../../src/cloud-controller/audit-events/store.ts';
import type { Database } from '../../../src/cloud-controller/database.ts';

const actor = { guid: 'user-1', type: 'user', name: 'ann' };
const app = { guid: 'app-1', name: 'shop' };

/** A database that takes whatever is written, and keeps nothing. */
const db = new Kysely<Database>({
  dialect: {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => new DummyDriver(),
    createIntrospector: (of) => new PostgresIntrospector(of),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  },
});

describe('audit events (AUD-01)', () => {
  it('do not compile with other data than the catalogue says', () => {
    auditEvent('audit.app.task.cancel', actor, app, { task_guid: 'task-1' });
    // @ts-expect-error nothing is left out
    auditEvent('audit.app.task.cancel', actor, app, {});
    // @ts-expect-error nothing is added
    auditEvent('audit.app.task.cancel', actor, app, { task_guid: 'task-1', reason: 'none' });
    // @ts-expect-error what says nothing says nothing
    auditEvent('audit.app.start', actor, app, { request: {} });
    // @ts-expect-error the kinds are those of the catalogue
    auditEvent('audit.app.paint', actor, app, {});
    const either = Math.random() < 2 ? 'audit.app.start' : 'audit.app.task.cancel';
    // @ts-expect-error of one of two kinds the data fit both
    auditEvent(either, actor, app, { task_guid: 'task-1' });
    const literal = { type: 'audit.app.start', actor, target: app, organizationGuid: null, spaceGuid: null, data: {} };
    // @ts-expect-error none is made without the catalogue
    const made: AuditEvent = literal;
    assert.ok(made);
  });

  it('are not recorded with other data where a database is checked, as in tests', async () => {
    const wrong = auditEvent('audit.app.process.scale', actor, app, {
      process_guid: 'app-1',
      process_type: 'web',
      // What the compiler cannot see: it comes from elsewhere.
      request: JSON.parse('"web"'),
    });
    const record = (on: typeof db) => on.transaction().execute((trx) => recordEvent(trx, wrong));
    await record(db);
    await assert.rejects(record(withCheckedEvents(db)), /audit\.app\.process\.scale is recorded with other data/);
  });

  it('say no more than the catalogue where a database is checked', async () => {
    const body = { task_guid: 'task-1', command: 'rake' };
    const more = auditEvent('audit.app.task.cancel', actor, app, body);
    const among = auditEvent('audit.app.process.update', actor, app, {
      process_guid: 'app-1',
      process_type: 'web',
      command: 'serve',
    });
    const nothing = JSON.parse('{ "request": { "name": "shop" } }');
    const empty = auditEvent('audit.buildpack.delete', actor, app, nothing);
    await withCheckedEvents(db)
      .transaction()
      .execute(async (trx) => {
        assert.throws(() => checkRecorded(trx, more), /audit\.app\.task\.cancel is recorded with other data/);
        assert.throws(() => checkRecorded(trx, empty), /audit\.buildpack\.delete is recorded with other data/);
        checkRecorded(trx, among);
      });
  });
});

describe('audit data', () => {
  it('keeps no secret, wherever it stands (SECURITY 28)', () => {
    const planted = 'planted-secret';
    const data = redact({
      request: {
        name: 'web',
        environment_variables: { DB: planted },
        var: { A: planted },
        nested: [{ password: planted, docker: { credentials: { username: planted } } }],
        client_secret: planted,
      },
    });
    assert.ok(!JSON.stringify(data).includes(planted));
    assert.ok(JSON.stringify(data).includes('web'));
  });
});
