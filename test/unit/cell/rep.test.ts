import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import { OwnerSchema, TaskSchema } from '../../../src/contracts/gen/diego_pb.js';
import { eventually } from '../../support/fake-control.ts';
import {
  closeCell,
  control,
  directory,
  eachTestHasACell,
  garden,
  lrp,
  openCell,
  port,
  proxied,
  rep,
  running,
  SECRET,
  stageWith,
} from '../../support/rep-cell.ts';

eachTestHasACell();

test('a start is claimed, made, found well, registered and reported, in this order (DGO-01)', async () => {
  const guid = await running();
  assert.deepEqual(control.control.reports(), ['claim', 'start']);
  const started = control.control.calls[1]!.lrp;
  assert.equal(started.hostAddress, '10.0.0.1');
  assert.deepEqual(
    started.ports.map(({ containerPort, hostTlsProxyPort }) => [containerPort, hostTlsProxyPort]),
    [[port, 61443]],
  );
  assert.equal(proxied.get(guid)?.port, port);
  const { environment, user } = garden.pretend.app(guid).spec;
  assert.equal(user, 'vcap');
  assert.equal(environment['PORT'], String(port));
  assert.equal(environment['CF_INSTANCE_INDEX'], '0');
  assert.equal(environment['CF_INSTANCE_GUID'], guid);
  assert.equal(environment['MEMORY_LIMIT'], '256m');
  assert.equal(environment['PASSWORD'], SECRET);
  await eventually('CELL lines arrive', () => control.control.lines('CELL').includes('Container became healthy'));
  assert.deepEqual(control.control.lines('CELL'), [
    'Downloaded droplet (9B)',
    `Cell cell-1 creating container for instance ${guid}`,
    `Cell cell-1 successfully created container for instance ${guid}`,
    'Starting health monitoring of container',
    'Container became healthy',
  ]);
});

test('what is kept beside a container for adoption holds no secret', async () => {
  const guid = await running();
  assert.ok(!JSON.stringify(garden.pretend.containers.get(guid)!.spec.properties).includes(SECRET));
});

test('work that does not fit is given back, and what is booked shows at once', async () => {
  const answer = await rep().perform({
    lrpStarts: [0, 1, 2, 3, 4].map((index) => ({ desiredLrp: lrp(), index })),
    tasks: [create(TaskSchema, { taskGuid: 't', stack: 'windows', memoryMb: 1 })],
  });
  assert.deepEqual(
    answer.lrpStarts.map(({ index }) => index),
    [4],
  );
  assert.equal(answer.tasks.length, 1);
  const state = await rep().state({});
  assert.equal(state.availableMemoryMb, 0);
  assert.equal(state.availableContainers, 6);
  assert.equal(state.lrps.length, 4);
});

test('an instance somebody else claimed is dropped without a container', async () => {
  control.control.refuses.add('claim');
  await rep().perform({ lrpStarts: [{ desiredLrp: lrp(), index: 0 }] });
  await eventually('its room is free again', async () => (await rep().state({})).availableMemoryMb === 1024);
  assert.deepEqual(control.control.reports(), []);
  assert.ok([...garden.pretend.containers.values()].every(({ properties }) => properties['cupola.kind'] === 'trust'));
});

test('an app that exits is reported with its status and its container goes (DGO-03)', async () => {
  const guid = await running();
  garden.pretend.app(guid).end(3);
  await eventually('the crash is reported', () => control.control.reports().includes('crash'));
  assert.equal(control.control.calls.at(-1)!.lrp.crashReason, 'APP/PROC/WEB: Exited with status 3');
  await eventually('the container goes', () => garden.pretend.destroyed.includes(guid));
  assert.equal(proxied.size, 0);
  await eventually('room is free', async () => (await rep().state({})).availableMemoryMb === 1024);
  await eventually('the exit line arrives', () => control.control.lines('APP/PROC/WEB').includes('Exit status 3'));
  assert.equal(readdirSync(join(directory, 'run/credentials')).length, 0);
});

test('an app killed for its memory is reported so', async () => {
  const guid = await running();
  garden.pretend.app(guid).end(137, true);
  await eventually('the crash is reported', () => control.control.reports().includes('crash'));
  assert.equal(control.control.calls.at(-1)!.lrp.crashReason, 'APP/PROC/WEB: Exited with status 137 (out of memory)');
});

test('an app that never listens crashes when its start-up time is over, and its log says why', async () => {
  await rep().perform({
    lrpStarts: [{ desiredLrp: lrp({ ports: [9], healthCheck: { type: 'port', timeoutSeconds: 1 } }), index: 0 }],
  });
  await eventually('the crash is reported', () => control.control.reports().includes('crash'));
  assert.match(
    control.control.calls.at(-1)!.lrp.crashReason,
    /^Instance never healthy after 1(\.\d)?s: Failed to make TCP connection to 127\.0\.0\.1:9: connection refused$/,
  );
  await eventually('its line arrives', () => control.control.lines('HEALTH').length > 0);
  assert.deepEqual(control.control.lines('HEALTH'), [
    'Failed to make TCP connection to 127.0.0.1:9: connection refused',
  ]);
});

test('an http health check wants status 200, and a running instance that fails it crashes', async () => {
  const guid = await running({ healthCheck: { type: 'http', httpEndpoint: '/well', intervalSeconds: 1 } });
  assert.ok(proxied.has(guid));
  await rep().perform({
    lrpStarts: [
      { desiredLrp: lrp({ healthCheck: { type: 'http', httpEndpoint: '/ill', timeoutSeconds: 1 } }), index: 1 },
    ],
  });
  await eventually('the ill one crashes', () => control.control.reports().includes('crash'));
  assert.match(control.control.calls.at(-1)!.lrp.crashReason, /received status code 500/);
});

test('a stop is reported before the app hears of it, and SIGTERM comes before SIGKILL', async () => {
  const guid = await running();
  garden.pretend.onTerm = null;
  const process = garden.pretend.app(guid);
  await rep().stopLrp({ processGuid: 'process-1', index: 0, instanceGuid: guid });
  await eventually('the removal is reported', () => control.control.reports().includes('remove'));
  assert.deepEqual(process.signals, []);
  await eventually('the container goes', () => garden.pretend.destroyed.includes(guid));
  assert.deepEqual(process.signals, ['SIGTERM', 'SIGKILL']);
  assert.deepEqual(control.control.reports(), ['claim', 'start', 'remove']);
});

test('while control is away apps run on, and what happened is reported when it is back', async () => {
  const guid = await running();
  control.control.away = true;
  garden.pretend.app(guid).end(1);
  await eventually('the container goes', () => garden.pretend.destroyed.includes(guid));
  assert.deepEqual(control.control.reports(), ['claim', 'start']);
  control.control.away = false;
  await eventually('the crash is reported', () => control.control.reports().includes('crash'));
});

test('a new cell process takes over what runs and goes on watching it', async () => {
  const guid = await running();
  await closeCell();
  assert.ok(garden.pretend.containers.has(guid), 'closing leaves the app alone');
  proxied.clear();
  await openCell();
  assert.equal((await rep().state({})).availableMemoryMb, 768);
  await eventually('it is registered again', () => proxied.has(guid));
  garden.pretend.app(guid).end(7);
  await eventually('its end is noticed', () => control.control.reports().includes('crash'));
  assert.ok(!control.control.reports().includes('remove'));
});

test('an instance the registry has and the cell has not is removed there, so that it starts anew (DGO-03)', async () => {
  await control.registry.claimActualLrp({
    processGuid: 'p',
    instanceGuid: 'ghost',
    state: 'CLAIMED',
    cellId: 'cell-1',
  });
  await eventually('it is removed', () => control.control.reports('ghost').includes('remove'));
});

test('an instance that the registry asks for once more is reported again, for it does not know of it', async () => {
  await closeCell();
  await openCell({ reconcileMs: 600_000 });
  const guid = await running();
  control.control.lrps.clear();
  await rep().perform({ lrpStarts: [{ desiredLrp: lrp(), index: 0 }] });
  await eventually('it is reported', () => control.control.lrps.has(guid));
  assert.deepEqual(control.control.reports(), ['claim', 'start', 'start']);
});

test('a cell that is there before control compares as soon as that answers', async () => {
  await closeCell();
  await control.registry.claimActualLrp({
    processGuid: 'p',
    instanceGuid: 'ghost',
    state: 'CLAIMED',
    cellId: 'cell-1',
  });
  control.control.away = true;
  await openCell({ reconcileMs: 600_000 });
  await delay(60); // it tried
  control.control.away = false;
  await eventually('it is removed', () => control.control.reports('ghost').includes('remove'));
});

test('an instance whose place somebody else took is stopped without a report', async () => {
  const guid = await running();
  control.control.refuses.add('start');
  control.control.lrps.clear();
  await eventually('the container goes', () => garden.pretend.destroyed.includes(guid));
  assert.deepEqual(control.control.reports(), ['claim', 'start']);
});

test('a staging result survives an absence of control and is reported once', async () => {
  const task = create(TaskSchema, {
    taskGuid: 'stage-1',
    domain: 'cf-app-staging',
    state: 'PENDING',
    stack: 'debian12',
    memoryMb: 512,
    diskMb: 512,
    work: { case: 'staging', value: { package: { url: 'https://control/p' } } },
  });
  control.control.tasks.set('stage-1', task);
  stageWith(async ({ log }) => {
    log('Downloaded buildpack');
    control.control.away = true;
    return { failed: false, failureReason: '', result: '{"lifecycle_type":"buildpack"}' };
  });
  await rep().perform({ tasks: [task] });
  const results = join(directory, 'state/task-results');
  await eventually('the result is kept', () => readdirSync(results).includes('stage-1.json'));
  await closeCell();
  await openCell();
  control.control.away = false;
  await eventually('it is reported', () => control.control.completed.length > 0);
  await eventually('it is forgotten', () => readdirSync(results).length === 0);
  assert.equal(control.control.completed.length, 1);
  assert.equal(control.control.completed[0]!.result, '{"lifecycle_type":"buildpack"}');
});

const stagingTask = (taskGuid: string) =>
  create(TaskSchema, {
    taskGuid,
    domain: 'cf-app-staging',
    state: 'PENDING',
    stack: 'debian12',
    memoryMb: 512,
    owner: { appGuid: 'app-1' },
    work: { case: 'staging', value: { package: { url: 'https://control/p' } } },
  });
const failing = async ({ log }: { log: (text: string, stderr?: boolean) => void }) => {
  log('no such module: planted', true);
  return { failed: true, failureReason: 'BuildpackCompileFailed: no', result: '' };
};

test('LOG-01: a build is not finished before the log cache has its last line and every follower has read it', async () => {
  control.control.followersBehind = 1;
  stageWith(failing);
  control.control.tasks.set('stage-4', stagingTask('stage-4'));
  await rep().perform({ tasks: [stagingTask('stage-4')] });
  await eventually('it is asked again', () => control.control.followersAsked.length > 2);
  assert.deepEqual(control.control.lines('STG').slice(-2), [
    'no such module: planted',
    'Cell cell-1 successfully destroyed container for instance stage-4',
  ]);
  assert.equal(control.control.followersAsked[0], 'app-1 STG');
  assert.equal(control.control.completed.length, 0);
  control.control.followersBehind = 0;
  await eventually('it is reported', () => control.control.completed.length === 1);
});

test('LOG-01: a follower whose first read comes after the end of a short staging is waited for', async () => {
  const ended = Promise.withResolvers<void>();
  stageWith(async (options) => failing(options).finally(() => ended.resolve()));
  control.control.tasks.set('stage-7', stagingTask('stage-7'));
  await rep().perform({ tasks: [stagingTask('stage-7')] });
  await ended.promise;
  await delay(500);
  assert.equal(control.control.completed.length, 0, 'nobody follows yet');
  control.control.followersBehind = 1;
  await eventually('it is asked who follows', () => control.control.followersAsked.length > 1);
  assert.equal(control.control.completed.length, 0);
  control.control.followersBehind = 0;
  await eventually('it is reported', () => control.control.completed.length === 1);
});

test('a follower that never reads on, and a control that knows none, hold up no build', async () => {
  control.control.followersBehind = undefined;
  stageWith(failing);
  await rep().perform({ tasks: [stagingTask('stage-5')] });
  await eventually('it is reported', () => control.control.completed.length === 1);
  assert.equal(control.control.followersAsked.length, 1);
  control.control.followersBehind = 1;
  await rep().perform({ tasks: [stagingTask('stage-6')] });
  await eventually('it is reported too', () => control.control.completed.length === 2, 30_000);
});

test('what a killed cell left of the packages of its stagings is gone with the next', async () => {
  await closeCell();
  const left = join(directory, 'state/staging/cut-off/package.zip');
  mkdirSync(dirname(left), { recursive: true });
  writeFileSync(left, 'half a package');
  await openCell();
  assert.equal(existsSync(left), false);
});

test('staging that a restart of the cell cut off is done again, and a lost command is reported as failed', async () => {
  const staging = create(TaskSchema, {
    taskGuid: 'stage-3',
    state: 'PENDING',
    stack: 'debian12',
    memoryMb: 512,
    work: { case: 'staging', value: { package: { url: 'https://control/p' } } },
  });
  const command = create(TaskSchema, {
    taskGuid: 'command-1',
    state: 'RUNNING',
    stack: 'debian12',
    work: { case: 'command', value: { command: 'rake' } },
  });
  let begun = 0;
  stageWith(({ signal }) => {
    begun += 1;
    if (begun > 1) return Promise.resolve({ failed: false, failureReason: '', result: 'second' });
    return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  });
  control.control.tasks.set('stage-3', staging);
  await rep().perform({ tasks: [staging] });
  await eventually('it began', () => begun === 1);
  await closeCell();
  assert.equal(control.control.completed.length, 0, 'an end of the cell is no end of the task');
  control.control.tasks.set('command-1', command);
  await openCell();
  await eventually('both are reported', () => control.control.completed.length === 2);
  const of = (guid: string) => control.control.completed.find(({ taskGuid }) => taskGuid === guid);
  assert.equal(of('stage-3')?.result, 'second');
  assert.equal(of('command-1')?.failed, true);
});

test('SECURITY 32: stagings of one organization that do not end keep no other waiting', async (context) => {
  const begun: string[] = [];
  const ends = Promise.withResolvers<void>();
  context.after(() => ends.resolve()); // before the cell, which waits for them
  stageWith(async ({ task }) => {
    begun.push(task.taskGuid);
    await ends.promise;
    return { failed: false, failureReason: '', result: '{}' };
  });
  const of = (organizationGuid: string, number: number) => {
    const taskGuid = `${organizationGuid}-${number}`;
    const task = { ...stagingTask(taskGuid), memoryMb: 64, owner: create(OwnerSchema, { organizationGuid }) };
    control.control.tasks.set(taskGuid, task);
    return task;
  };
  await rep().perform({ tasks: Array.from({ length: 6 }, (_, number) => of('sleeping', number)) });
  await eventually('as many as one may have begin', () => begun.length === 4);
  await rep().perform({ tasks: [of('honest', 0)] });
  await eventually('the neighbour is staged', () => begun.includes('honest-0'));
  assert.equal(begun.length, 5, 'and two of the six wait for their own');
  ends.resolve();
  await eventually('they follow', () => begun.length === 7);
});

test('a cancelled task fails and gives its room back', async () => {
  const task = create(TaskSchema, {
    taskGuid: 'stage-2',
    stack: 'debian12',
    memoryMb: 512,
    work: { case: 'staging', value: {} },
  });
  stageWith(
    ({ signal }) =>
      new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true })),
  );
  await rep().perform({ tasks: [task] });
  await rep().cancelTask({ taskGuid: 'stage-2' });
  await eventually('it is reported', () => control.control.completed.length === 1);
  assert.equal(control.control.completed[0]!.failed, true);
  assert.equal(control.control.completed[0]!.failureReason, 'task was cancelled');
  await eventually('its room is free', async () => (await rep().state({})).availableMemoryMb === 1024);
});

test('a droplet that is not what its digest says is never run', async () => {
  const sha256 = 'f'.repeat(64);
  await rep().perform({
    lrpStarts: [{ desiredLrp: lrp({ droplet: { url: 'https://control/d', sha256 } }), index: 0 }],
  });
  await eventually('the crash is reported', () => control.control.reports().includes('crash'));
  assert.equal(control.control.calls.at(-1)!.lrp.crashReason, 'Downloading the droplet failed');
  assert.ok(!garden.pretend.layers.has(sha256));
});

test('the cell says every few seconds that it is there', async () => {
  await eventually('heartbeats come', () => control.control.heartbeats > 2);
});

test('DGO-04: a cell that was taken for lost compares at its first heartbeat and stops what others have by now', async () => {
  await closeCell();
  await openCell({ reconcileMs: 600_000 });
  const guid = await running();
  const command = { case: 'command' as const, value: { command: 'sleep', droplet: lrp().droplet! } };
  await rep().perform({
    tasks: [create(TaskSchema, { taskGuid: 'task-1', stack: 'debian12', memoryMb: 64, work: command })],
  });
  await eventually('the task runs', async () => garden.pretend.containers.has('task-1'));
  control.control.lrps.clear(); // another cell has the instance, and the task was given up
  control.control.tasks.clear();
  control.control.refuses.add('start');
  control.control.returned = true;
  await eventually('nothing is left', async () => (await rep().state({})).availableMemoryMb === 1024);
  assert.ok(!garden.pretend.containers.has(guid) && !garden.pretend.containers.has('task-1'));
  assert.ok(!control.control.reports(guid).includes('crash'));
});
