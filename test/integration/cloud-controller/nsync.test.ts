import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { sql } from 'kysely';
import { differingGroups } from '../../../src/cloud-controller/diego/differing.ts';
import { ALL_GUIDS } from '../../../src/contracts/lrp-fingerprint.ts';
import { eventually, newSpace, runningApp, startTestFoundation, type TestFoundation } from '../../support/apps.ts';
import { TestFoundation as DiegoFoundation } from '../../support/diego.ts';
import { startTestPostgresql, type TestPostgresql } from '../../support/postgresql.ts';

describe('nsync, with the BBS of a real Diego', () => {
  let f: TestFoundation;
  let postgresql: TestPostgresql;
  let diego: DiegoFoundation;
  /** What is asked of Diego for LRPs, with the apps that are named. */
  const asked: [string, readonly string[] | string | undefined][] = [];
  let app: string;
  let other: string;

  before(async () => {
    postgresql = await startTestPostgresql(['bbs']);
    diego = new DiegoFoundation(postgresql);
    await diego.addDiego();
    const { bbs } = diego;
    f = await startTestFoundation({
      diego: (own) => ({
        ...own.client,
        desireLrp: (lrp) => {
          asked.push(['desireLrp', lrp.owner?.appGuid]);
          return bbs.desireLrp(lrp);
        },
        updateDesiredLrp: (change) => {
          asked.push(['updateDesiredLrp', change.processGuid?.slice(0, 36)]);
          return bbs.updateDesiredLrp(change);
        },
        removeDesiredLrp: (lrp) => bbs.removeDesiredLrp(lrp),
        desiredLrps: (request) => {
          asked.push(['desiredLrps', request.group ?? request.appGuids]);
          return bbs.desiredLrps(request);
        },
        desiredLrpFingerprints: (request) => {
          asked.push(['desiredLrpFingerprints', undefined]);
          return bbs.desiredLrpFingerprints(request);
        },
      }),
    });
    app = await runningApp(f, 'web');
    other = await runningApp(f, 'other');
    const { domain } = await domainOf(f);
    const route = await f.developer.post('/v3/routes', {
      host: 'web',
      relationships: { space: { data: { guid: f.space } }, domain: { data: { guid: domain } } },
    });
    await f.developer.post(`/v3/routes/${route.body.guid}/destinations`, { destinations: [{ app: { guid: app } }] });
    await eventually(async () => (await lrpOf(app))?.routes.length === 1);
    await eventually(async () => (await lrpOf(other)) !== undefined);
  });
  after(async () => {
    await f.close();
    await diego.close();
    await postgresql.stop();
  });

  /** The app's web process; there is a worker beside it. */
  const lrpOf = async (guid: string) => {
    const { desiredLrps } = await diego.bbs.desiredLrps({ appGuids: [guid] });
    return desiredLrps.find(({ owner }) => owner?.processType === 'web');
  };

  const differing = async (): Promise<string[]> => {
    const parts = ALL_GUIDS.map((range) =>
      differingGroups({ db: f.cc.db, bbs: diego.bbs, clock: () => new Date() }, range),
    );
    return (await Promise.all(parts)).flat();
  };
  /** Has everything compared. */
  const compareAll = () => f.cc.admin.patch('/v3/feature_flags/diego_docker', { enabled: true });

  it('DGO-01: what is in step has the same fingerprints on both sides', async () => {
    assert.deepEqual(await eventually(async () => ((await differing()).length === 0 ? 'none' : null)), 'none');
    assert.ok(await lrpOf(app));
  });

  it('DGO-01: a change has Diego asked about its app, and about no other', async () => {
    await eventually(async () => (await differing()).length === 0);
    asked.length = 0;
    await f.developer.post(`/v3/apps/${app}/processes/web/actions/scale`, { instances: 2 });
    await eventually(async () => (await lrpOf(app))?.instances === 2);
    await f.developer.patch(`/v3/apps/${app}`, { name: 'shop' });
    await eventually(async () => (await lrpOf(app))?.owner?.appName === 'shop');
    const questions = asked.filter(([call]) => call === 'desiredLrps');
    assert.ok(questions.length >= 2);
    for (const [, apps] of questions) assert.deepEqual(apps, [app]);
    const { resources } = (await f.developer.get(`/v3/apps/${app}/processes`)).body;
    const processes = resources.map(({ guid }: { guid: string }) => guid);
    const told = asked.filter(([call]) => call === 'updateDesiredLrp').map(([, guid]) => guid);
    assert.ok(told.length >= 2);
    assert.ok(told.every((guid) => processes.includes(guid)));
    assert.ok(!asked.some(([call]) => call === 'desiredLrpFingerprints'));
  });

  it('the name of a space is told to its apps, and nobody else is asked about', async () => {
    const elsewhere = await newSpace(f.cc, f.organization, 'elsewhere');
    await eventually(async () => (await differing()).length === 0);
    asked.length = 0;
    await f.cc.admin.patch(`/v3/spaces/${elsewhere}`, { name: 'nowhere' });
    await f.cc.admin.patch(`/v3/spaces/${f.space}`, { name: 'prod' });
    await eventually(async () => (await lrpOf(other))?.owner?.spaceName === 'prod');
    const named = asked.filter(([call]) => call === 'desiredLrps').flatMap(([, apps]) => apps ?? []);
    assert.deepEqual([...new Set(named)].sort(), [app, other, elsewhere, f.space].sort());
  });

  for (const [what, change] of [
    ['instances', "UPDATE processes SET instances = instances + 5 WHERE app_guid = 'APP'"],
    ['the version', "UPDATE processes SET version = 'UUID' WHERE app_guid = 'APP'"],
    ['the name of an app', "UPDATE apps SET name = name || '-x' WHERE guid = 'APP'"],
    ['the name of a space', "UPDATE spaces SET name = name || '-x'"],
    ['the name of an org', "UPDATE organizations SET name = name || '-x'"],
    ['a host', "UPDATE routes SET host = host || '-x'"],
    ['a path', "UPDATE routes SET path = path || '/x'"],
    ['a port of a destination', 'UPDATE route_destinations SET port = 9090'],
    ['the protocol of a destination', "UPDATE route_destinations SET protocol = 'http2'"],
    ['the name of a domain', "UPDATE domains SET name = 'x.' || name WHERE NOT internal"],
    [
      'rules that hold everywhere',
      `UPDATE security_groups SET rules = '[{"protocol":"all","destination":"192.0.2.1"}]' WHERE guid =
       (SELECT guid FROM security_groups WHERE running_default LIMIT 1)`,
    ],
    [
      'a group that is bound to the space',
      `WITH made AS (INSERT INTO security_groups (guid, name, rules, running_default, staging_default)
       VALUES ('UUID', 'UUID', '[{"protocol":"all","destination":"192.0.2.2"}]', false, false) RETURNING guid)
       INSERT INTO security_group_spaces (security_group_guid, space_guid, phase) SELECT guid, 'SPACE', 'running' FROM made`,
    ],
    ['a destination less', 'DELETE FROM route_destinations'],
    ['a process that stopped', "UPDATE processes SET state = 'STOPPED' WHERE app_guid = 'APP'"],
    ['a process that started', "UPDATE processes SET state = 'STARTED' WHERE app_guid = 'APP'"],
  ] as const) {
    it(`DGO-01: ${what} that nobody told of differs, and is mended by a comparison of everything`, async () => {
      await compareAll();
      await eventually(async () => (await differing()).length === 0);
      const text = change.replaceAll('APP', app).replaceAll('SPACE', f.space).replaceAll('UUID', randomUUID());
      asked.length = 0;
      await sql.raw(text).execute(f.cc.db);
      // Unless a comparison that was under way has mended it by now.
      if ((await differing()).length === 0) assert.ok(asked.some(([call]) => call === 'desiredLrps'));
      await compareAll();
      await eventually(async () => (await differing()).length === 0);
      assert.ok(asked.some(([call, group]) => call === 'desiredLrps' && group === app.slice(0, 3)));
    });
  }

  it('DGO-01: what Diego has and nobody wants is removed, whatever its app is called', async () => {
    for (const appGuid of ['', 'zzz', app]) {
      const processGuid = `left-${appGuid}`;
      await diego.bbs.desireLrp({ processGuid, instances: 1, owner: { appGuid } });
    }
    await compareAll();
    await eventually(async () => {
      const { desiredLrps } = await diego.bbs.desiredLrps({});
      return desiredLrps.every(({ processGuid }) => !processGuid.startsWith('left-'));
    });
    assert.ok(await lrpOf(app));
  });
});

async function domainOf(f: TestFoundation): Promise<{ domain: string }> {
  const { resources } = (await f.developer.get('/v3/domains')).body;
  return { domain: resources.find((one: { internal: boolean }) => !one.internal).guid };
}
