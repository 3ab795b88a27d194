import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import { OwnerSchema, TaskSchema } from '../../../src/contracts/gen/diego_pb.js';
import { eventually } from '../../support/fake-control.ts';
import { closeCell, control, directory, eachTestHasACell, openCell, rep, stageWith } from '../../support/rep-cell.ts';

eachTestHasACell();

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
