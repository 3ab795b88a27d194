import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { sql } from 'kysely';
import { OwnerNamesSchema, RouteSchema } from '../../../src/contracts/gen/diego_pb.js';
import { desired, eachTestHasAFoundation, until } from '../../support/diego.ts';

const t = eachTestHasAFoundation();

const OWNER = {
  appGuid: 'app',
  appName: 'web-app',
  spaceGuid: 'space',
  spaceName: 'dev',
  organizationGuid: 'org',
  organizationName: 'acme',
  processGuid: 'p',
  processType: 'web',
};
const names = create(OwnerNamesSchema, { appName: 'renamed', spaceName: 'prod', organizationName: 'acme' });
const route = create(RouteSchema, { guid: 'r1', host: 'web.example.org', port: 8080, protocol: 'http1' });

test('LOG-01: a rename reaches the cells that have instances, the routers, and what starts later; no instance is replaced', async () => {
  const [one, two] = [
    await t.foundation.addCell({ cellId: 'cell-1' }),
    await t.foundation.addCell({ cellId: 'cell-2' }),
  ];
  await t.foundation.bbs.desireLrp(desired('web', { owner: OWNER, routes: [route] }));
  const [before] = await t.foundation.running('web', 1);
  const [holder, other] = before!.cellId === 'cell-1' ? [one, two] : [two, one];
  const events: string[] = [];
  t.foundation.bus.subscribe('diego.changed', (event) => events.push(String(event['processGuids'])));
  await t.foundation.bbs.updateDesiredLrp({ processGuid: 'web', names });
  await until(() => holder.renamed.length === 1);
  assert.deepEqual([holder.renamed, other.renamed], [[['web', 'renamed', 'prod', 'acme']], []]);
  await until(() => events.includes('web'));

  const renamed = { ...OWNER, appName: 'renamed', spaceName: 'prod' };
  const [entry] = (await t.foundation.bbs.routingTable({})).entries;
  const { $typeName, ...owner } = entry!.owner!;
  assert.deepEqual(owner, renamed);
  assert.equal(entry!.route!.host, 'web.example.org');
  const { desiredLrps } = await t.foundation.bbs.desiredLrps({});
  assert.equal(desiredLrps[0]!.owner!.spaceName, 'prod');
  const { actualLrps } = await holder.registry.actualLrpsOfCell({ cellId: holder.presence.cellId });
  assert.equal(actualLrps[0]!.names!.appName, 'renamed', 'for a cell that missed it');

  await t.foundation.bbs.updateDesiredLrp({ processGuid: 'web', instances: 2 });
  const lrps = await t.foundation.running('web', 2);
  assert.equal(lrps[0]!.instanceGuid, before!.instanceGuid);
  const started = [...one.performed, ...two.performed].find(({ index }) => index === 1)!.desiredLrp!;
  const { $typeName: _, ...given } = started.owner!;
  assert.deepEqual(given, renamed);
});

test('whose an instance is stays what was sealed, whatever the readable column says', async () => {
  const cell = await t.foundation.addCell({ cellId: 'cell-1' });
  cell.refuses = true;
  await t.foundation.bbs.desireLrp(desired('web', { owner: OWNER }));
  await sql`UPDATE desired_lrps SET owner = owner || '{"appGuid":"another","organizationGuid":"another"}'`.execute(
    t.db,
  );
  cell.refuses = false;
  t.foundation.diego.wake();
  await t.foundation.running('web', 1);
  const { owner } = cell.performed[0]!.desiredLrp!;
  assert.deepEqual([owner!.appGuid, owner!.organizationGuid], ['app', 'org']);
});

test('a cell of the version before is no obstacle, and an update without names leaves them', async () => {
  const cell = await t.foundation.addCell({ cellId: 'cell-1' });
  cell.older = true;
  await t.foundation.bbs.desireLrp(desired('web', { owner: OWNER, routes: [route] }));
  await t.foundation.running('web', 1);
  await t.foundation.bbs.updateDesiredLrp({ processGuid: 'web', names });
  await until(() => t.foundation.logged.some((line) => line.includes('a cell did not take new names')));
  assert.ok(!t.foundation.logged.some((line) => line.includes('"level":"error"')));
  await t.foundation.bbs.updateDesiredLrp({ processGuid: 'web', setRoutes: true, routes: [route] });
  const [entry] = (await t.foundation.bbs.routingTable({})).entries;
  assert.equal(entry!.owner!.appName, 'renamed');
});
