import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { OwnerNamesSchema } from '../../../src/contracts/gen/diego_pb.js';
import { eventually } from '../../support/fake-control.ts';
import { closeCell, control, eachTestHasACell, garden, lrp, openCell, rep, running } from '../../support/rep-cell.ts';

eachTestHasACell();

const NAMES = { appName: 'renamed', spaceName: 'other-space', organizationName: 'other-org' };
const names = create(OwnerNamesSchema, NAMES);

/** The tags of the line with this text, once it has arrived. */
async function tagsOf(text: string): Promise<Record<string, string>> {
  const find = () =>
    control.control.envelopes.find(
      ({ message }) => message.case === 'log' && Buffer.from(message.value.payload).toString() === text,
    );
  await eventually(`the line "${text}"`, () => find() !== undefined);
  return find()!.tags;
}

function namesIn(tags: Record<string, string>) {
  return [tags['app_name'], tags['space_name'], tags['organization_name']];
}

const RENAMED = ['renamed', 'other-space', 'other-org'];

test('LOG-01: after a rename lines, metrics and what the cell says carry the new names, of the same instance', async () => {
  await openCellWithMetrics();
  const sidecars = [{ name: 'proxy', command: './proxy', memoryMb: 64 }];
  const guid = await running({ sidecars });
  garden.pretend.app(guid).write('before');
  const before = await tagsOf('before');
  assert.deepEqual(namesIn(before), ['web-app', '', '']);
  await rep().updateNames({ processGuid: 'process-1', names });
  garden.pretend.app(guid).write('after');
  garden.pretend.app(guid, 'sidecar-0').write('beside it');
  const after = await tagsOf('after');
  assert.deepEqual(
    { ...after },
    { ...before, app_name: 'renamed', space_name: 'other-space', organization_name: 'other-org' },
    'everything else is as it was',
  );
  assert.deepEqual(namesIn(await tagsOf('beside it')), RENAMED);
  await eventually('metrics carry them', () =>
    control.control.envelopes.some(({ message, tags }) => message.case === 'gauge' && tags['app_name'] === 'renamed'),
  );
  assert.ok(garden.pretend.containers.has(guid), 'it was not replaced');
  await rep().stopLrp({ processGuid: 'process-1', index: 0, instanceGuid: guid });
  assert.deepEqual(namesIn(await tagsOf(`Cell cell-1 stopping instance ${guid}`)), RENAMED);
});

test('a rename concerns the instances of its process alone', async () => {
  const guid = await running();
  await rep().updateNames({ processGuid: 'another', names });
  garden.pretend.app(guid).write('as before');
  assert.deepEqual(namesIn(await tagsOf('as before')), ['web-app', '', '']);
});

test('the next cell process goes on with the new names while control is away', async () => {
  const guid = await running();
  await rep().updateNames({ processGuid: 'process-1', names });
  await closeCell();
  control.control.lrps.clear(); // it does not say them again
  await openCell();
  garden.pretend.app(guid).write('of the next process');
  assert.deepEqual(namesIn(await tagsOf('of the next process')), RENAMED);
});

test('a container that an earlier version made keeps the locale of the stack it stands on', async () => {
  const guid = await running();
  const container = garden.pretend.containers.get(guid)!;
  const { 'cupola.locale': locale, ...before } = container.properties;
  assert.equal(locale, 'en_US.UTF-8');
  container.properties = before;
  await rep().updateNames({ processGuid: 'process-1', names });
  assert.match(container.properties['cupola.lrp']!, /other-space/);
  assert.equal(container.properties['cupola.locale'], undefined);
});

test('a rename that the cell missed is found when it compares itself with the registry', async () => {
  const guid = await running();
  control.control.lrps.get(guid)!.names = names;
  await eventually('it is kept beside the container', () =>
    JSON.stringify(garden.pretend.containers.get(guid)!.properties).includes('other-space'),
  );
  garden.pretend.app(guid).write('found');
  assert.deepEqual(namesIn(await tagsOf('found')), RENAMED);
});

test('an answer of the registry that is older than a rename does not undo it', async () => {
  const guid = await running();
  const held = Promise.withResolvers<void>();
  control.control.lrps.get(guid)!.names = create(OwnerNamesSchema, { ...NAMES, appName: 'web-app' });
  await eventually('it is known', () => garden.pretend.propertyChanges.length > 0);
  const { compared } = control.control;
  control.control.beforeAnswer = () => held.promise;
  await eventually('an answer is on its way', () => control.control.compared > compared);
  control.control.beforeAnswer = async () => {};
  control.control.lrps.get(guid)!.names = names;
  await rep().updateNames({ processGuid: 'process-1', names });
  held.resolve();
  await eventually('the next comparison', () => control.control.compared > compared + 2);
  const kept = garden.pretend.propertyChanges.map(({ 'cupola.lrp': text = '{}' }) => JSON.parse(text).owner.appName);
  assert.deepEqual(kept, ['web-app', 'renamed']);
});

test('a control of the version before says no names, and those that are known stay', async () => {
  const guid = await running();
  await rep().updateNames({ processGuid: 'process-1', names });
  assert.equal(control.control.lrps.get(guid)!.names, undefined);
  const { compared } = control.control;
  await eventually('it compares itself', () => control.control.compared > compared + 1);
  garden.pretend.app(guid).write('still');
  assert.deepEqual(namesIn(await tagsOf('still')), RENAMED);
});

test('a rename that comes while the container is made counts for it and is kept beside it', async () => {
  const { promise: mayCreate, resolve: goOn } = Promise.withResolvers<void>();
  const asked: string[] = [];
  garden.pretend.beforeCreate = async (handle) => {
    if (handle.startsWith('trust-')) return;
    asked.push(handle);
    await mayCreate;
  };
  await rep().perform({ lrpStarts: [{ desiredLrp: lrp(), index: 0 }] });
  await eventually('its container is being made', () => asked.length > 0);
  await rep().updateNames({ processGuid: 'process-1', names });
  goOn();
  await eventually('it runs', () => control.control.reports().includes('start'));
  const guid = control.control.calls.find(({ what }) => what === 'start')!.lrp.instanceGuid;
  garden.pretend.app(guid).write('from the start');
  assert.deepEqual(namesIn(await tagsOf('from the start')), RENAMED);
  assert.match(garden.pretend.containers.get(guid)!.properties['cupola.lrp']!, /other-space/);
});

async function openCellWithMetrics(): Promise<void> {
  await closeCell();
  await openCell({ metricsMs: 50 });
}
