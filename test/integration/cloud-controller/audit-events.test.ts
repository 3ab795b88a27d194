import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { before, describe, it } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { sql } from 'kysely';
import { type TSchema, Type } from 'typebox';
import { EVENTS } from '../../../src/cloud-controller/audit-events/catalogue.ts';
import { newSpace, yaml } from '../../support/apps.ts';
import { bodyFor, CHANGES, callOf, SHOWN, WITHOUT_EVENT } from '../../support/audited-operations.ts';
import { destroyed, type Line, pathOf, titleOf } from '../../support/role-matrix.ts';
import { on, type World } from '../../support/role-world.ts';
import { cc, eventsAfter, foundation, lastEvent, maker, suiteHasAWorld, world } from '../../support/suite.ts';

const GOLDEN = new URL('./audit-events.golden.txt', import.meta.url);
/** What is on its way by itself: work that is done later, and what serves until it is replaced. */
const MOVING = ['audit_events', 'jobs', 'outgoing_lrps'];
/** Of an upload its progress and its bytes stay; the swift end of it is swept up later. */
const OF_UPLOADS = ['packages', 'droplets', 'stored_blobs', 'matched_files'];

describe('the audit trail (AUD-01)', () => {
  suiteHasAWorld();
  before(async () => {
    await sql`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
      $$BEGIN RAISE EXCEPTION 'the trail cannot be written'; END$$`.execute(cc.db);
  });

  /** Nothing can be recorded while `body` runs. */
  async function withoutTrail<T>(body: () => Promise<T>): Promise<T> {
    await sql`CREATE TRIGGER refuse BEFORE INSERT ON audit_events FOR EACH ROW EXECUTE FUNCTION refuse()`.execute(
      cc.db,
    );
    try {
      return await body();
    } finally {
      await sql`DROP TRIGGER refuse ON audit_events`.execute(cc.db);
    }
  }

  /** Everything in the database, by table. */
  async function content(without: readonly string[]): Promise<Map<string, string>> {
    const { rows } = await sql<{ name: string }>`
      SELECT table_name AS name FROM information_schema.tables
      WHERE table_schema = current_schema() ORDER BY 1`.execute(cc.db);
    const hashes = rows
      .filter(({ name }) => !MOVING.includes(name) && !without.includes(name))
      .map(
        ({ name }) => sql`
          SELECT ${name}::text AS name, md5(string_agg(t::text, '' ORDER BY t::text)) AS hash FROM ${sql.table(name)} AS t`,
      );
    const all = await sql<{ name: string; hash: string | null }>`${sql.join(hashes, sql` UNION ALL `)}`.execute(cc.db);
    return new Map(all.rows.map(({ name, hash }) => [name, hash ?? '']));
  }

  /** The same, once what is under way has come to rest: Diego has every task and build, which is written down when it does. */
  async function atRest(without: readonly string[]): Promise<Map<string, string>> {
    for (let last = await content(without); ; ) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      const handedOver = await allHandedOver();
      const next = await content(without);
      if (handedOver && isDeepStrictEqual(next, last)) return next;
      last = next;
    }
  }

  async function allHandedOver(): Promise<boolean> {
    const { rows } = await sql`
      SELECT guid FROM tasks WHERE state = 'PENDING' AND desired_at IS NULL
      UNION ALL SELECT guid FROM builds WHERE state = 'STAGING' AND desired_at IS NULL`.execute(cc.db);
    return rows.length === 0;
  }

  /** What the operation is called on: a spare where it destroys. */
  async function onWhat(line: Line): Promise<World> {
    const call = callOf(line);
    const thing = call.spare ?? destroyed(line);
    const on = thing ? { ...world, [thing]: await maker.spare(thing, world) } : world;
    return { ...on, ...(await call.first?.(on, foundation)) };
  }

  /** Calls it, and waits for the job where there is one. Gives whether it was done. */
  async function done(line: Line, on: World): Promise<{ done: boolean; said: string }> {
    const [method = ''] = line.id.split(' ');
    const body = method === 'DELETE' || method === 'GET' ? undefined : await bodyFor(line, on);
    const isText = typeof body === 'string';
    const isForm = body instanceof FormData;
    const response = await fetch(`${cc.url}${pathOf(line, on)}${callOf(line).query ?? ''}`, {
      method,
      headers: {
        authorization: `bearer ${cc.admin.token}`,
        ...(isText ? yaml : body === undefined || isForm ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: isText || isForm ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    const location = response.headers.get('location');
    if (response.status !== 202 || !location) return { done: response.ok, said: `${response.status} ${text}` };
    for (;;) {
      const job = await cc.admin.get(location);
      const said = JSON.stringify(job.body);
      if (job.body.state !== 'PROCESSING') return { done: job.body.state === 'COMPLETE', said };
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  it('no change stands without its event, and no event without its change', async () => {
    const wrong: string[] = [];
    const rows: string[] = [];
    for (const line of CHANGES) {
      const title = titleOf(line);
      const on = await onWhat(line);
      const without = line.id.endsWith('/upload') ? OF_UPLOADS : [];
      const expected = await atRest(without);
      const untold = line.id in WITHOUT_EVENT;
      if (!untold) {
        const refused = await withoutTrail(() => done(line, on));
        if (refused.done) wrong.push(`${title}: was done without an event`);
        const found = await atRest(without);
        const changed = [...found].filter(([table, hash]) => expected.get(table) !== hash).map(([table]) => table);
        if (changed.length > 0) wrong.push(`${title}: changed ${changed.join(', ')} without an event`);
      }
      const before = await lastEvent();
      const again = without.length > 0 ? await onWhat(line) : on;
      const since = without.length > 0 ? await lastEvent() : before;
      const reply = await done(line, again);
      if (!reply.done) wrong.push(`${title}: ${reply.said}`);
      const events = (await eventsAfter(since)).map(({ type }) => type);
      if ((events.length === 0) !== untold) wrong.push(`${title}: left ${events.join(' ') || 'no event'}`);
      rows.push(`${title}\n${events.map((type) => `    ${type}\n`).join('')}`);
    }
    assert.deepEqual(wrong, []);
    const table = `What each change leaves in the audit trail, in that order.\n\n${rows.join('')}`;
    if (process.env.UPDATE_GOLDEN === '1') writeFileSync(GOLDEN, table);
    assert.equal(table, readFileSync(GOLDEN, 'utf8'), 'UPDATE_GOLDEN=1 writes it anew; read the difference');
  });

  it('nothing is recorded in a test but what the catalogue says', async (t) => {
    const kind: { data: TSchema } = EVENTS['audit.space.create'];
    const { data } = kind;
    t.after(() => {
      kind.data = data;
    });
    kind.data = Type.Object({ request: Type.Object({ name: Type.String() }) });
    const body = { name: 'catalogued', relationships: { organization: { data: { guid: world.organizations } } } };
    assert.equal((await cc.admin.post('/v3/spaces', body)).status, 500);
    kind.data = data;
    assert.equal((await cc.admin.post('/v3/spaces', body)).status, 201);
  });

  it('what is deleted with an app, and what a manifest changes, has its events', async () => {
    const app = await maker.spare('apps', world);
    const of = { ...world, apps: app };
    const packageGuid = await maker.spare('packages', of);
    const droplet = await maker.spare('droplets', of);
    await maker.spare('destination', of);
    const route = await maker.spare('routes', of);
    const destinations = { destinations: [{ app: { guid: app } }] };
    assert.equal((await cc.admin.post(`/v3/routes/${route}/destinations`, destinations)).status, 200);
    let last = await lastEvent();
    const since = async (): Promise<string[]> => {
      const found = await eventsAfter(last);
      last = await lastEvent();
      return found.map(({ type }) => type);
    };
    await cc.admin.finished(await cc.admin.delete(`/v3/routes/${route}`));
    assert.deepEqual(await since(), ['audit.app.unmap-route', 'audit.route.delete-request']);

    const { name } = (await cc.admin.get(`/v3/apps/${app}`)).body;
    const features = `name: ${name}, features: { ssh: false }`;
    const sidecars = 'sidecars: [{ name: s, command: "true", process_types: [web] }]';
    const path = `/v3/spaces/${world.spaces}/actions/apply_manifest`;
    await cc.admin.finished(await cc.admin.request('POST', path, `applications: [{ ${features}, ${sidecars} }]`, yaml));
    assert.deepEqual(await since(), ['audit.app.apply_manifest', 'audit.app.update']);
    await cc.admin.finished(await cc.admin.request('POST', path, `applications: [{ ${features} }]`, yaml));
    assert.deepEqual(await since(), ['audit.app.apply_manifest'], 'what stays as it was is no change');

    await cc.db
      .updateTable('tasks')
      .set({ app_guid: app, state: 'RUNNING', desired_at: new Date() })
      .where('guid', '=', world.tasks)
      .execute();
    await cc.admin.finished(await cc.admin.delete(`/v3/apps/${app}`));
    const events = await cc.db.selectFrom('audit_events').selectAll().where('id', '>', last).orderBy('id').execute();
    assert.deepEqual(
      events.map(({ type, data }) => [type, data['package_guid'] ?? data['droplet_guid'] ?? data['process_guid']]),
      [
        ['audit.app.package.delete', packageGuid],
        ['audit.app.task.cancel', undefined],
        ['audit.app.droplet.delete', droplet],
        ['audit.app.process.delete', app],
        ['audit.app.unmap-route', undefined],
        ['audit.app.delete-request', undefined],
      ],
    );
    assert.ok(events.every(({ actor_guid: actor, target_guid: target }) => actor === cc.admin.guid && target === app));
  });

  it('variables and bits are not shown where it cannot be recorded that they are', async () => {
    for (const id of SHOWN) {
      const line = { id, at: null };
      const on = id.includes('packages') || id.includes('droplets') ? world : await onWhat(line);
      const refused = await withoutTrail(() => done(line, on));
      assert.match(refused.said, /^500 \{"errors":\[\{"code":10001,"title":"CF-UnknownError"/, id);
      const before = await lastEvent();
      assert.ok((await done(line, on)).done, id);
      assert.equal((await eventsAfter(before)).length, 1, id);
    }
  });

  it('an instance is not stopped where it cannot be recorded that it is', async () => {
    foundation.bbs.retired.length = 0;
    const path = `/v3/processes/${world.processes}/instances/0`;
    assert.equal((await withoutTrail(() => cc.admin.delete(path))).status, 500);
    assert.deepEqual(foundation.bbs.retired, []);
    foundation.bbs.away = true;
    const before = await lastEvent();
    assert.equal((await cc.admin.delete(path)).status, 503);
    foundation.bbs.away = false;
    assert.deepEqual(await eventsAfter(before), []);
  });

  it('events are seen by those who see the place they happened in (AUD-01)', async () => {
    const organization = (await cc.admin.post('/v3/organizations', { name: 'seen' })).body.guid;
    const space = await newSpace(cc, organization, 'seen');
    const stranger = await cc.person('eve');
    const auditor = await cc.person('audrey');
    await cc.admin.post('/v3/roles', {
      type: 'organization_auditor',
      relationships: { user: { data: { guid: auditor.guid } }, organization: on(organization) },
    });
    const path = `/v3/audit_events?organization_guids=${organization}`;
    assert.equal((await stranger.get(path)).body.pagination.total_results, 0);
    const seen = (await auditor.get(path)).body.resources.map((event: { type: string }) => event.type);
    assert.ok(seen.includes('audit.organization.create'), String(seen));
    const created = (await cc.admin.get(`/v3/audit_events?space_guids=${space}&types=audit.space.create`)).body;
    assert.equal(created.resources.length, 1);
    assert.equal(created.resources[0].actor.name, 'admin');
    assert.equal((await stranger.get(`/v3/audit_events/${created.resources[0].guid}`)).status, 404);
  });
});
