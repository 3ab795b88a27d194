import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { Code } from '@connectrpc/connect';
import { sql } from 'kysely';
import { ActualLrpSchema, RouteSchema } from '../../../src/contracts/gen/diego_pb.js';
import { SUBJECTS } from '../../../src/kit/bus.ts';
import { desired, eachTestHasAFoundation, failsWith, until } from '../../support/diego.ts';

const t = eachTestHasAFoundation();

test('DGO-01: a desired LRP is placed, claimed and runs, without waiting for a timer', async () => {
  const [one, two] = [
    await t.foundation.addCell({ cellId: 'cell-1' }),
    await t.foundation.addCell({ cellId: 'cell-2' }),
  ];
  const startedAt = performance.now();
  await t.foundation.bbs.desireLrp(desired('web', { instances: 3 }));
  const lrps = await t.foundation.running('web', 3);
  assert.ok(performance.now() - startedAt < 1_500);
  assert.deepEqual(new Set(lrps.map(({ cellId }) => cellId)), new Set(['cell-1', 'cell-2']));
  assert.equal(one.performed.length + two.performed.length, 3);
});

test('DGO-01: cells are handed the whole definition; listings leave out what is secret', async () => {
  const cell = await t.foundation.addCell({ cellId: 'cell-1' });
  const environment = [{ name: 'DATABASE_URL', value: 'postgres://planted-secret' }];
  await t.foundation.bbs.desireLrp(desired('web', { environment, annotation: 'v1' }));
  await t.foundation.running('web', 1);
  const given = cell.performed[0]!.desiredLrp!;
  assert.equal(given.environment[0]!.value, 'postgres://planted-secret');
  assert.equal(given.startCommand, 'node server.js');
  const { desiredLrps } = await t.foundation.bbs.desiredLrps({});
  assert.deepEqual(
    desiredLrps.map(({ processGuid, annotation }) => [processGuid, annotation]),
    [['web', 'v1']],
  );
  assert.equal(desiredLrps[0]!.environment.length + desiredLrps[0]!.startCommand.length, 0);
});

test('CC-02: environment, command and signed URLs are in no column of a raw dump', async () => {
  const environment = [{ name: 'API_KEY', value: 'planted-environment' }];
  await t.foundation.bbs.desireLrp(
    desired('web', {
      environment,
      startCommand: 'run --password planted-command',
      droplet: { url: 'https://blobs/planted-url', sha256: '' },
    }),
  );
  await t.foundation.bbs.desireTask({
    taskGuid: 'task',
    domain: 'cf-tasks',
    environment,
    work: { case: 'command', value: { command: 'planted-command' } },
  });
  for (const table of ['desired_lrps', 'tasks']) {
    const { rows } = await sql<{ row: string; definition: Buffer }>`
      SELECT ${sql.ref(table)}::text AS row, definition FROM ${sql.table(table)}`.execute(t.db);
    assert.equal(rows.length, 1);
    for (const { row, definition } of rows) {
      assert.doesNotMatch(row, /planted|API_KEY/);
      for (const form of [
        definition.toString('latin1'),
        Buffer.from(definition.toString('latin1'), 'base64').toString(),
      ]) {
        assert.doesNotMatch(form, /planted|API_KEY/);
      }
    }
  }
});

test('secrets are in no log line and no event, whatever goes wrong', async () => {
  const events: string[] = [];
  t.foundation.bus.subscribe('diego.changed', (event) => events.push(JSON.stringify(event)));
  const cell = await t.foundation.addCell({ cellId: 'cell-1' });
  const environment = [{ name: 'API_KEY', value: 'planted' }];
  const lrp = desired('web', { environment, startCommand: 'planted', droplet: { url: 'https://blobs/planted' } });
  await t.foundation.bbs.desireLrp(lrp);
  await t.foundation.running('web', 1);
  cell.refuses = true;
  await t.foundation.bbs.desireLrp({ ...lrp, processGuid: 'refused' });
  await until(() => t.foundation.logged.some((line) => line.includes('"refused":1')));
  cell.answers = false;
  await t.foundation.bbs.desireLrp({ ...lrp, processGuid: 'unanswered' });
  await until(() => t.foundation.logged.some((line) => line.includes('did not tell its state')));
  assert.ok(events.length > 0);
  assert.doesNotMatch([...t.foundation.logged, ...events].join(), /planted/);
});

test('DGO-03: scaling up starts what is missing, scaling down stops the last instances', async () => {
  const cell = await t.foundation.addCell({ cellId: 'cell-1' });
  await t.foundation.bbs.desireLrp(desired('web'));
  await t.foundation.running('web', 1);
  await t.foundation.bbs.updateDesiredLrp({ processGuid: 'web', instances: 4 });
  await t.foundation.running('web', 4);
  await t.foundation.bbs.updateDesiredLrp({ processGuid: 'web', instances: 2 });
  const left = await t.foundation.running('web', 2);
  assert.deepEqual(
    left.map(({ index }) => index),
    [0, 1],
  );
  assert.equal(cell.stopped.length, 2);
});

test('DGO-03: removing an LRP stops its instances; the rows go when the cell says that they stopped', async () => {
  const cell = await t.foundation.addCell({ cellId: 'cell-1' });
  await t.foundation.bbs.desireLrp(desired('web', { instances: 2 }));
  await t.foundation.running('web', 2);
  await t.foundation.bbs.removeDesiredLrp({ processGuid: 'web' });
  await t.foundation.lrps('web', (lrps) => lrps.length === 0);
  assert.equal(cell.held.size, 0);
});

test('DGO-03: rows that vanished are made again and instances whose cell forgot them are placed anew', async () => {
  const cell = await t.foundation.addCell({ cellId: 'cell-1' });
  await t.foundation.bbs.desireLrp(desired('web', { instances: 2 }));
  const [first] = await t.foundation.running('web', 2);
  await sql`DELETE FROM actual_lrps WHERE index = 1`.execute(t.db);
  cell.held.delete(first!.instanceGuid);
  await sql`UPDATE actual_lrps SET since_ms = since_ms - 200000`.execute(t.db);
  t.foundation.diego.wake();
  const again = await t.foundation.lrps(
    'web',
    (lrps) =>
      lrps.length === 2 && lrps.every((lrp) => lrp.state === 'RUNNING' && lrp.instanceGuid !== first!.instanceGuid),
  );
  assert.equal(again.length, 2);
});

test('a retired instance stops and another takes its place', async () => {
  await t.foundation.addCell({ cellId: 'cell-1' });
  await t.foundation.bbs.desireLrp(desired('web'));
  const [first] = await t.foundation.running('web', 1);
  await t.foundation.bbs.retireActualLrp({ processGuid: 'web', index: 0 });
  await t.foundation.lrps('web', ([lrp]) => lrp?.state === 'RUNNING' && lrp.instanceGuid !== first!.instanceGuid);
});

test('what does not fit says why, and runs as soon as there is room', async () => {
  const cell = await t.foundation.addCell({ cellId: 'cell-1', memoryMb: 100 });
  await t.foundation.bbs.desireLrp(desired('web', { memoryMb: 500 }));
  const [waiting] = await t.foundation.lrps('web', ([lrp]) => lrp?.placementError !== '');
  assert.equal(waiting!.placementError, 'insufficient resources: memory');
  assert.equal(waiting!.state, 'UNCLAIMED');
  cell.presence.memoryMb = 1_000;
  t.foundation.diego.wake();
  const [runs] = await t.foundation.running('web', 1);
  assert.equal(runs!.placementError, '');
});

test('work that a cell refuses goes to another', async () => {
  const refusing = await t.foundation.addCell({ cellId: 'cell-1' });
  refusing.refuses = true;
  await t.foundation.addCell({ cellId: 'cell-2', memoryMb: 512 });
  await t.foundation.bbs.desireLrp(desired('web'));
  const [lrp] = await t.foundation.running('web', 1);
  assert.equal(lrp!.cellId, 'cell-2');
});

test('a cell that does not answer is done without', async () => {
  const gone = await t.foundation.addCell({ cellId: 'cell-1' });
  gone.answers = false;
  await t.foundation.addCell({ cellId: 'cell-2' });
  await t.foundation.bbs.desireLrp(desired('web', { instances: 2 }));
  const lrps = await t.foundation.running('web', 2);
  assert.ok(lrps.every(({ cellId }) => cellId === 'cell-2'));
});

test('of two cells that want the same instance one gets it; the late one is told so', async () => {
  const one = await t.foundation.addCell({ cellId: 'cell-1' });
  one.claims = false;
  const two = await t.foundation.addCell({ cellId: 'cell-2' });
  two.claims = false;
  const lrp = desired('web');
  await t.foundation.bbs.desireLrp(lrp);
  await until(() => one.performed.length === 1); // reserved for it: the other is refused although nobody has it yet
  await assert.rejects(two.claim(lrp, 0), failsWith(Code.FailedPrecondition));
  const won = await one.claim(lrp, 0);
  await assert.rejects(two.claim(lrp, 0), failsWith(Code.FailedPrecondition));
  const late = create(ActualLrpSchema, { processGuid: 'web', index: 0, instanceGuid: 'late', cellId: 'cell-2' });
  await assert.rejects(two.start(late), failsWith(Code.FailedPrecondition));
  await assert.rejects(two.crash(late, 'late'), failsWith(Code.FailedPrecondition));
  await two.registry.removeActualLrp(late);
  await one.start(won);
  const [running] = await t.foundation.running('web', 1);
  assert.equal(running!.instanceGuid, won.instanceGuid);
});

test('DGO-01: the routing table joins wanted routes with what runs, and drops an instance before it stops', async () => {
  const cell = await t.foundation.addCell({ cellId: 'cell-1' });
  const route = create(RouteSchema, { guid: 'r1', host: 'web.example.org', port: 8080, protocol: 'http1' });
  const owner = { appGuid: 'app' };
  await t.foundation.bbs.desireLrp(desired('web', { instances: 2, routes: [route], owner }));
  await t.foundation.bbs.desireLrp(desired('worker'));
  await t.foundation.running('web', 2);
  const table = async () => (await t.foundation.bbs.routingTable({})).entries;
  const [entry, ...others] = await table();
  assert.equal(others.length, 0);
  assert.equal(entry!.route!.host, 'web.example.org');
  assert.equal(entry!.owner!.appGuid, 'app');
  assert.deepEqual(
    entry!.endpoints.map(({ index, address, port }) => [index, address, port]),
    [
      [0, '10.0.0.1', 61_001],
      [1, '10.0.0.1', 61_001],
    ],
  );
  cell.answers = false; // it cannot be told to stop yet
  await t.foundation.bbs.updateDesiredLrp({ processGuid: 'web', instances: 1 });
  assert.deepEqual(
    (await table())[0]!.endpoints.map(({ index }) => index),
    [0],
  );
  const other = create(RouteSchema, { ...route, guid: 'r2', host: 'other.example.org' });
  await t.foundation.bbs.updateDesiredLrp({ processGuid: 'web', setRoutes: true, routes: [other] });
  assert.deepEqual(
    (await table()).map((one) => one.route!.host),
    ['other.example.org'],
  );
});

test('the routing table of named LRPs is theirs alone, with instances that leave a cell', async () => {
  await t.foundation.addCell({ cellId: 'cell-1' });
  const route = (host: string) => create(RouteSchema, { guid: host, host, port: 8080, protocol: 'http1' });
  for (const name of ['a', 'b', 'c']) {
    await t.foundation.bbs.desireLrp(desired(name, { routes: [route(`${name}.example.org`)] }));
    await t.foundation.running(name, 1);
  }
  const [leaving] = await t.foundation.running('b', 1);
  await sql`INSERT INTO evacuating_lrps SELECT process_guid, index, instance_guid, cell_id, since_ms, instance_address,
    host_address, routable, ports FROM actual_lrps WHERE process_guid IN ('a', 'b')`.execute(t.db);
  await sql`DELETE FROM actual_lrps WHERE process_guid IN ('a', 'b')`.execute(t.db);
  const { entries } = await t.foundation.bbs.routingTable({ processGuids: ['b', 'c', 'gone'] });
  assert.deepEqual(
    entries.map(({ processGuid, route: { host } = route(''), endpoints }) => [processGuid, host, endpoints.length]),
    [
      ['b', 'b.example.org', 1],
      ['c', 'c.example.org', 1],
    ],
  );
  assert.equal(entries[0]!.endpoints[0]!.instanceGuid, leaving!.instanceGuid);
  const all = await t.foundation.bbs.routingTable({});
  assert.deepEqual(
    all.entries.map(({ processGuid }) => processGuid),
    ['a', 'b', 'c'],
  );
});

test('the fingerprint of an LRP, and of its bucket, is another one for each field of its entries, and the entries carry it', async () => {
  await t.foundation.addCell({ cellId: 'cell-1' });
  const route = create(RouteSchema, { guid: 'r', host: 'web.example.org', port: 8080, protocol: 'http1' });
  const owner = { appGuid: 'app', appName: 'app', spaceGuid: 's', spaceName: 's', organizationGuid: 'o' };
  for (const name of ['web', 'web-2', 'other']) {
    await t.foundation.bbs.desireLrp(desired(name, { instances: 2, routes: [route], owner }));
    await t.foundation.running(name, 2);
  }
  const prints = async (buckets: string[]) => {
    const { fingerprints } = await t.foundation.bbs.routingFingerprints({ atMost: 100, buckets });
    return new Map(fingerprints.map(({ key, fingerprint, count }) => [key, `${fingerprint} of ${count}`]));
  };
  const first = { buckets: await prints([]), lrps: await prints(['web']) };
  assert.deepEqual([...first.buckets.keys()].sort(), ['oth', 'web']);
  assert.deepEqual([...first.lrps.keys()].sort(), ['web', 'web-2']);
  let before = { bucket: first.buckets.get('web'), lrp: first.lrps.get('web') };
  const column = (table: string, change: string) => `UPDATE ${table} SET ${change} WHERE process_guid = 'web'`;
  const json = (of: string, ...path: string[]) =>
    column('desired_lrps', `${of} = jsonb_set(${of}, '{${path.join(',')}}', '"changed"')`);
  const changes = [
    ...['guid', 'host', 'path', 'protocol'].map((name) => json('routes', '0', name)),
    column('desired_lrps', `routes = jsonb_set(routes, '{0,port}', '8081')`),
    column('desired_lrps', 'routes = routes || routes'),
    ...['appGuid', 'appName', 'spaceGuid', 'spaceName', 'organizationGuid', 'organizationName'].map((name) =>
      json('owner', name),
    ),
    ...['processGuid', 'processType'].map((name) => json('owner', name)),
    column('actual_lrps', "instance_guid = 'changed-' || index"),
    column('actual_lrps', "host_address = '10.9.9.9'"),
    column('actual_lrps', `ports = jsonb_set(ports, '{0,hostTlsProxyPort}', '61999')`),
    column('actual_lrps', `ports = jsonb_set(ports, '{0,containerPort}', '8081')`),
    "DELETE FROM actual_lrps WHERE process_guid = 'web' AND index = 0",
    column('actual_lrps', 'index = 0'),
    column('actual_lrps', 'routable = false'),
    column('actual_lrps', 'routable = true'),
    column('actual_lrps', "state = 'CRASHED', cell_id = ''"),
    column('actual_lrps', "state = 'RUNNING', cell_id = 'cell-1'"),
    column('desired_lrps', 'instances = 0'),
  ];
  for (const change of changes) {
    await sql.raw(change).execute(t.db);
    const { buckets, lrps } = { buckets: await prints([]), lrps: await prints(['web']) };
    assert.notEqual(buckets.get('web'), before.bucket, change);
    assert.notEqual(lrps.get('web'), before.lrp, change);
    before = { bucket: buckets.get('web'), lrp: lrps.get('web') };
    assert.equal(buckets.get('oth'), first.buckets.get('oth'), change);
    assert.equal(lrps.get('web-2'), first.lrps.get('web-2'), change);
    const { entries } = await t.foundation.bbs.routingTable({ processGuids: ['web'] });
    for (const { fingerprint } of entries) assert.equal(`${fingerprint} of 1`, lrps.get('web'), change);
  }
});

test('an event names the LRP whose crashed instance may start again', async () => {
  const heard: unknown[] = [];
  await t.foundation.addCell({ cellId: 'cell-1' });
  await t.foundation.bbs.desireLrp(desired('web'));
  await t.foundation.running('web', 1);
  t.foundation.bus.subscribe(SUBJECTS.diego, ({ processGuids }) => void heard.push(processGuids));
  await sql`UPDATE actual_lrps SET state = 'CRASHED', cell_id = '', restart_at_ms = 1`.execute(t.db);
  await t.foundation.running('web', 1);
  assert.deepEqual([...new Set(heard.flat())], ['web']);
});

test('an instance that is not ready is in no route while it runs on, and the Cloud Controller hears of each change', async () => {
  const cell = await t.foundation.addCell({ cellId: 'cell-1' });
  const route = create(RouteSchema, { guid: 'r1', host: 'web.example.org', port: 8080, protocol: 'http1' });
  await t.foundation.bbs.desireLrp(desired('web', { instances: 2, routes: [route] }));
  await t.foundation.running('web', 2);
  const [held] = [...cell.held.values()];
  const served = async () => (await t.foundation.bbs.routingTable({})).entries[0]!.endpoints.length;
  assert.equal(await served(), 2);
  const before = await t.foundation.bbs.actualLrps({ processGuids: ['web'] });
  await cell.registry.startActualLrp({ ...held!.lrp, routable: false });
  assert.equal(await served(), 1);
  const { actualLrps } = await t.foundation.bbs.actualLrps({ processGuids: ['web'] });
  const same = (lrp: { instanceGuid: string }) => lrp.instanceGuid === held!.lrp.instanceGuid;
  assert.deepEqual([actualLrps.find(same)!.state, actualLrps.find(same)!.routable], ['RUNNING', false]);
  assert.equal(actualLrps.find(same)!.sinceNs, before.actualLrps.find(same)!.sinceNs);
  await cell.registry.startActualLrp({ ...held!.lrp, routable: false }); // said twice, told once
  await cell.registry.startActualLrp({ ...held!.lrp, routable: true });
  assert.equal(await served(), 2);
  await until(() => t.foundation.readiness.length === 2);
  assert.deepEqual(
    t.foundation.readiness.map(({ processGuid, instanceGuid, ready }) => [processGuid, same({ instanceGuid }), ready]),
    [
      ['web', true, false],
      ['web', true, true],
    ],
  );
});

test('statistics come from the cells that answer', async () => {
  const one = await t.foundation.addCell({ cellId: 'cell-1' });
  await t.foundation.addCell({ cellId: 'cell-2' });
  await t.foundation.bbs.desireLrp(desired('web', { instances: 2 }));
  const lrps = await t.foundation.running('web', 2);
  const indices = async () =>
    (await t.foundation.bbs.instanceStats({ processGuid: 'web' })).stats.map(({ index }) => index);
  assert.deepEqual(await indices(), [0, 1]);
  one.answers = false;
  assert.deepEqual(await indices(), [lrps.find(({ cellId }) => cellId === 'cell-2')!.index]);
});

test('changes are told on the bus after the commit, many at once as few events', async () => {
  const events: Record<string, unknown>[] = [];
  t.foundation.bus.subscribe('diego.changed', (event) => events.push(event));
  await t.foundation.bbs.desireLrp(desired('web'));
  await until(() => events.length > 0);
  assert.deepEqual(events[0]!['processGuids'], ['web']);
  await Promise.all(Array.from({ length: 50 }, (_, n) => t.foundation.bbs.desireLrp(desired(`many-${n}`))));
  const named = () => new Set(events.flatMap((event) => event['processGuids']));
  await until(() => named().size === 51);
  assert.ok(events.length < 25, `${events.length} events`);
});
