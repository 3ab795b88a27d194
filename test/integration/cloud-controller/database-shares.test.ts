import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { type Kysely, sql } from 'kysely';
import { createBlobstore } from '../../../src/blobstore/blobstore.ts';
import { AnswerAccount, type AnswerLimits, forAnswer } from '../../../src/kit/answer-account.ts';
import { migrate } from '../../../src/kit/database.ts';
import { forOwner, nowFor } from '../../../src/kit/database-shares.ts';
import { refusalOf } from '../../../src/kit/refusal.ts';
import { SharedAnswers } from '../../../src/kit/shared-answers.ts';
import { TestAnswer } from '../../support/answer-accounts.ts';
import { eventually, grant, newApp, startTestFoundation, type TestFoundation } from '../../support/apps.ts';
import { type Person, startTestCloudController, type TestCloudController } from '../../support/cloud-controller.ts';
import { silentLog, startTestPostgresql, type TestPostgresql } from '../../support/postgresql.ts';

describe('the connections of a database', () => {
  let postgresql: TestPostgresql;
  let db: Kysely<unknown>;
  before(async () => {
    postgresql = await startTestPostgresql(['cc']);
    db = postgresql.open('cc');
  });
  after(() => postgresql.stop());

  const ask = () => sql`SELECT 1`.execute(db);

  it('a migration may take its time, and nothing after it', async () => {
    const limit = async () =>
      (await sql<{ limit: string }>`SELECT current_setting('statement_timeout') AS limit`.execute(db)).rows[0]?.limit;
    await migrate(db, 'cc', [
      { name: 'slow', sql: `CREATE TABLE slow AS SELECT current_setting('statement_timeout') AS "limit"` },
    ]);
    const { rows } = await sql<{ limit: string }>`SELECT "limit" FROM slow`.execute(db);
    assert.equal(rows[0]?.limit, '0');
    assert.equal(await limit(), '30s');
  });

  it('SECURITY 30: are never all of one owner, nor of long work, whoever asks for it', {
    timeout: 30_000,
  }, async () => {
    for (const owners of [['a'], ['a', 'b', 'c']]) {
      const long = owners.length > 1;
      const end = Promise.withResolvers<void>();
      let running = 0;
      let most = 0;
      const hold = () =>
        db.transaction().execute(async () => {
          running += 1;
          most = Math.max(most, running);
          await end.promise;
          running -= 1;
        });
      const all = Array.from({ length: 12 }, (_, index) => forOwner(owners[index % owners.length]!, long, hold));
      try {
        await eventually(async () => running === 4);
        await forOwner('somebody else', false, ask);
        await ask();
        assert.equal(most, 4);
      } finally {
        end.resolve();
      }
      await Promise.all(all);
      assert.equal(running, 0);
      assert.equal(most, 4);
    }
  });

  it('SECURITY 30: are of whom a request turns out to be, whatever it took before it was known', {
    timeout: 30_000,
  }, async () => {
    const end = Promise.withResolvers<void>();
    const known = Promise.withResolvers<void>();
    let begun = 0;
    const hold = () =>
      db.transaction().execute(async () => {
        begun += 1;
        await end.promise;
      });
    // What was taken for the address goes back to the address.
    const early = forOwner('address', false, async () => {
      const taken = Promise.withResolvers<void>();
      const held = db.transaction().execute(async () => {
        taken.resolve();
        await known.promise;
      });
      await taken.promise;
      nowFor('caller');
      known.resolve();
      await held;
    });
    await early;
    const all = Array.from({ length: 6 }, (_, index) =>
      forOwner(`address ${index}`, false, async () => {
        await ask();
        nowFor('caller');
        await hold();
      }),
    );
    try {
      await eventually(() => begun === 4);
      await Promise.all(Array.from({ length: 4 }, () => forOwner('address', false, ask)));
      assert.equal(begun, 4);
    } finally {
      end.resolve();
      await Promise.all(all);
    }
  });

  it('of an answer that several wait for are nobody’s', { timeout: 30_000 }, async () => {
    const end = Promise.withResolvers<void>();
    const answers = new SharedAnswers(() => ask());
    let begun = 0;
    const hold = () =>
      forOwner('busy', false, () =>
        db.transaction().execute(async () => {
          begun += 1;
          await end.promise;
        }),
      );
    const all = Array.from({ length: 4 }, hold);
    try {
      await eventually(() => begun === 4);
      await forOwner('busy', false, () => answers.of('question'));
    } finally {
      end.resolve();
      await Promise.all(all);
    }
  });

  it('come back where what they were for fails', { timeout: 30_000 }, async () => {
    const fail = () => db.transaction().execute(() => Promise.reject(new Error('no')));
    for (let index = 0; index < 10; index += 1) await assert.rejects(forOwner('a', true, fail), /no/);
    await forOwner('a', true, ask);
  });
});

/**
 * Without what brings Diego in step, which is nobody's: it is known by how its questions begin, of which PostgreSQL shows the first
 * 1,024 bytes.
 */
async function waitsOfCallers(db: TestCloudController['db']): Promise<number> {
  const { rows } = await sql<{ n: number }>`
    SELECT count(*)::int AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query !~ '"app_name"|UNION ALL\s+SELECT apps.guid'`.execute(
    db,
  );
  return rows[0]?.n ?? 0;
}

describe('what is asked of the database before or beside an operation', () => {
  let f: TestFoundation;
  let other: Person;
  let app: string;
  before(async () => {
    f = await startTestFoundation();
    other = await f.cc.person('other');
    await grant(f.cc, other, 'space_auditor', f.organization, f.space);
    app = await newApp(f, 'asked-for');
  });
  after(() => f.close());

  /** While `table` is locked twelve wait for it; then four of them hold connections, and others are answered. */
  async function leaveRoom<T>(table: string, ask: (index: number) => Promise<T>): Promise<T[]> {
    const { db } = f.cc;
    const asked = await db.transaction().execute(async (trx) => {
      await sql`LOCK TABLE ${sql.table(table)} IN ACCESS EXCLUSIVE MODE`.execute(trx);
      const asked = Array.from({ length: 12 }, (_, index) => ask(index));
      await eventually(async () => (await waitsOfCallers(db)) === 4);
      for (let index = 0; index < 3; index += 1) {
        assert.equal((await other.get('/v3/feature_flags')).status, 200);
        assert.equal(await waitsOfCallers(db), 4);
      }
      return asked;
    });
    return Promise.all(asked);
  }

  it('SECURITY 30: the API’s own questions count for the caller', async () => {
    const replies = await leaveRoom('apps', (index) =>
      f.developer.request('GET', `/v3/apps/${app}`, undefined, { 'x-forwarded-for': `192.0.2.${index}` }),
    );
    for (const { status } of replies) assert.equal(status, 200);
  });

  it('SECURITY 30: those of other parts of the platform count for whose token they show', async () => {
    const allowed = await leaveRoom('apps', () =>
      f.internal.logAccess({ accessToken: f.developer.token, sourceIds: [app] }),
    );
    for (const { allowed: sources } of allowed) assert.deepEqual(sources, [app]);
    const denied = await leaveRoom('processes', () =>
      f.internal.sshAccess({ accessToken: f.developer.token, processGuid: app, index: 0 }),
    );
    for (const answer of denied) assert.equal(answer.allowed, false);
  });

  it('SECURITY 30: those of what cells upload count for the organization it is for', async () => {
    const store = createBlobstore({
      directory: mkdtempSync('/tmp/cupola-shares-'),
      baseUrl: 'http://blobs.test',
      signingKey: Buffer.alloc(32, 1),
      log: silentLog,
      reserve: () => 0,
      takeUpload: f.cc.room.takeUpload,
    });
    await store.start();
    const server = createServer((request, response) => store.handler(request, response));
    await once(server.listen(0, '127.0.0.1'), 'listening');
    try {
      const { port } = server.address() as AddressInfo;
      const replies = await leaveRoom('stored_blobs', async (index) => {
        const url = store.blobs.signedUrl('PUT', 'buildpack-caches', `${app}-${index}`, 60);
        const sent = url.replace('http://blobs.test', `http://127.0.0.1:${port}`);
        // Of a cell each.
        const headers = { 'x-forwarded-for': `192.0.2.${index}` };
        return (await fetch(sent, { method: 'PUT', body: 'cache', headers })).status;
      });
      assert.deepEqual(new Set(replies), new Set([201]));
    } finally {
      server.close();
      await store.close();
    }
  });
});

describe('manifests', () => {
  let cc: TestCloudController;
  let developer: Person;
  let other: Person;
  let space: string;
  before(async () => {
    cc = await startTestCloudController();
    [developer, other] = [await cc.person('dev'), await cc.person('other')];
    const organization = (await cc.admin.post('/v3/organizations', { name: 'o' })).body.guid;
    const place = { organization: { data: { guid: organization } } };
    space = (await cc.admin.post('/v3/spaces', { name: 's', relationships: place })).body.guid;
    for (const { guid } of [developer, other]) {
      const user = { user: { data: { guid } } };
      for (const [type, where] of [
        ['organization_user', place],
        ['space_developer', { space: { data: { guid: space } } }],
      ] as const) {
        const made = await cc.admin.post('/v3/roles', { type, relationships: { ...user, ...where } });
        assert.equal(made.status, 201, JSON.stringify(made.body));
      }
    }
  });
  after(() => cc.close());

  const apply = (text: string, by = developer) =>
    by.request('POST', `/v3/spaces/${space}/actions/apply_manifest`, text, {
      'content-type': 'application/x-yaml',
    });

  it('SECURITY 30: many at once leave connections to what others ask', async () => {
    const end = Promise.withResolvers<void>();
    const locked = Promise.withResolvers<void>();
    // Each manifest comes to this lock in a transaction of its own.
    const lock = cc.db.transaction().execute(async (trx) => {
      for (const { guid } of [developer, other]) {
        await sql`SELECT pg_advisory_xact_lock(hashtext('jobs'), hashtext(${guid}))`.execute(trx);
      }
      locked.resolve();
      await end.promise;
    });
    await locked.promise;
    const applied = Array.from({ length: 9 }, (_, wave) =>
      apply(`applications: [{name: w${wave}}]`, wave % 2 === 0 ? developer : other),
    );
    try {
      await eventually(async () => {
        const { rows } = await sql<{ n: number }>`
          SELECT count(*)::int AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock'`.execute(cc.db);
        return rows[0]?.n === 4;
      });
      for (let index = 0; index < 3; index += 1) assert.equal((await other.get('/v3/apps?per_page=1')).status, 200);
    } finally {
      end.resolve();
      await lock;
    }
    for (const { status, body } of await Promise.all(applied)) assert.equal(status, 202, JSON.stringify(body));
  });

  it('are refused at once for what their job could not keep', async () => {
    const refused = [
      `applications:\n${Array.from({ length: 101 }, (_, index) => `- name: m${index}`).join('\n')}`,
      `applications: [{name: m, sidecars: [{name: ${'s'.repeat(8192)}, command: c, process_types: [web]}]}]`,
      `applications: [{name: m, buildpacks: [${Array(300).fill('b').join()}]}]`,
    ];
    for (const text of refused) {
      const { status, body } = await apply(text);
      assert.equal(status, 422, JSON.stringify(body));
    }
    const found = await cc.admin.get('/v3/apps?names=m,m0');
    assert.equal(found.body.pagination.total_results, 0);
  });
});

const LIMITS: AnswerLimits = { bytes: 9e6, bytesPerCaller: 3e6, bytesAlways: 1e5, bytesRead: 1e6, bytesSent: 1e6 };

describe('what is read from a database for an answer', () => {
  let postgresql: TestPostgresql;
  let db: Kysely<unknown>;
  before(async () => {
    postgresql = await startTestPostgresql(['cc']);
    db = postgresql.open('cc');
  });
  after(() => postgresql.stop());

  /** Some hundred bytes each. */
  const rows = (count: number) =>
    sql<{ n: number; text: string }>`SELECT n, repeat('x', 100) AS text FROM generate_series(1, ${count}) AS n`;
  const kindOf = (asked: Promise<unknown>): Promise<string | undefined> =>
    asked.then(
      () => undefined,
      (error: unknown) => refusalOf(error)?.kind ?? String(error),
    );
  async function streamed(count: number): Promise<void> {
    const select = db.selectNoFrom(sql<number>`generate_series(1, ${count})`.as('n'));
    for await (const _ of select.stream(16));
  }

  it('SECURITY 25: counts by whatever way it is read, ends where it is too much, and leaves the connection whole', async () => {
    const account = new AnswerAccount(LIMITS);
    const ways: Record<string, () => Promise<unknown>> = {
      alone: () => rows(50_000).execute(db),
      'in a transaction': () => db.transaction().execute((trx) => rows(50_000).execute(trx)),
      'little at a time': () => streamed(50_000),
      often: async () => {
        for (let n = 0; n < 100; n += 1) await rows(500).execute(db);
      },
    };
    for (const [name, read] of Object.entries(ways)) {
      const response = new TestAnswer();
      assert.equal(await kindOf(forAnswer(account.enter(response, 'a'), read)), 'answer_too_large', name);
      assert.ok(account.bytes > 0.9 * LIMITS.bytesRead, name);
      response.end();
      assert.equal(account.bytes, 0, name);
      assert.equal((await rows(10).execute(db)).rows.length, 10, name);
    }
    assert.equal((await rows(50_000).execute(db)).rows.length, 50_000, 'what answers nobody is not counted');
    await streamed(50_000);
  });

  it('SECURITY 25: ends when its client is gone, unless it belongs to a change, which is counted and goes on', async () => {
    const account = new AnswerAccount(LIMITS);
    const gone = new TestAnswer();
    const entry = account.enter(gone, 'a');
    gone.end();
    assert.equal(await kindOf(forAnswer(entry, () => rows(10).execute(db))), 'overloaded');
    const changing = new TestAnswer();
    await forAnswer(account.enter(changing, 'a', true), async () => {
      assert.equal((await rows(50_000).execute(db)).rows.length, 50_000);
      assert.ok(account.bytes > LIMITS.bytesRead);
      changing.end();
      assert.equal((await rows(50_000).execute(db)).rows.length, 50_000);
    });
    assert.equal(account.bytes, 0);
  });
});
