import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import { Code } from '@connectrpc/connect';
import { type Task, TaskSchema } from '../../../src/contracts/gen/diego_pb.js';
import { eachTestHasAFoundation, failsWith, IMPATIENT, NOON, until } from '../../support/diego.ts';

const t = eachTestHasAFoundation(IMPATIENT, NOON);
const staging = (taskGuid: string, more: Partial<Pick<Task, 'memoryMb' | 'timeoutSeconds'>> = {}): Task =>
  create(TaskSchema, {
    taskGuid,
    domain: 'cf-app-staging',
    stack: 'debian12',
    memoryMb: 256,
    diskMb: 512,
    timeoutSeconds: 900,
    work: { case: 'staging', value: { package: { url: 'https://blobs/package' } } },
    ...more,
  });
const state = async (taskGuid: string): Promise<string> =>
  (await t.foundation.bbs.tasks({})).tasks.find((task) => task.taskGuid === taskGuid)?.state ?? 'gone';

test('DGO-01: a task is placed, runs, and its result reaches the Cloud Controller, which may be away for a while', async () => {
  const cell = await t.foundation.addCell({ cellId: 'cell-1' });
  t.foundation.failCompletions = 2;
  await t.foundation.bbs.desireTask(staging('t'));
  await t.foundation.bbs.desireTask(staging('t')); // asked twice, done once
  await until(async () => (await state('t')) === 'RUNNING');
  const given = cell.tasks.get('t')!;
  assert.equal(given.work.case, 'staging');
  const { tasks } = await cell.registry.tasksOfCell({ cellId: 'cell-1' });
  assert.equal(tasks[0]!.work.case, 'staging');
  await cell.registry.completeTask({ taskGuid: 't', cellId: 'cell-1', failed: false, result: '{"ok":true}' });
  await until(async () => {
    t.foundation.now! += 500;
    await sleep(20);
    return t.foundation.completions.length === 1;
  });
  assert.equal(t.foundation.completions[0]!.result, '{"ok":true}');
  await until(async () => (await state('t')) === 'gone');
});

test('a task belongs to the cell that it was given to', async () => {
  const cell = await t.foundation.addCell({ cellId: 'cell-1' });
  const other = await t.foundation.addCell({ cellId: 'cell-2', memoryMb: 1 });
  await t.foundation.bbs.desireTask(staging('t'));
  await until(async () => (await state('t')) === 'RUNNING');
  const report = { taskGuid: 't', cellId: 'cell-2', failed: true };
  await assert.rejects(other.registry.startTask(report), failsWith(Code.FailedPrecondition));
  await assert.rejects(other.registry.completeTask(report), failsWith(Code.FailedPrecondition));
  await assert.rejects(t.foundation.bbs.deleteTask({ taskGuid: 't' }), failsWith(Code.FailedPrecondition));
  assert.equal(cell.tasks.size, 1);
});

test('a cell starts no task, and reads none, that was not given to it', async () => {
  const silent = await t.foundation.addCell({ cellId: 'cell-1' });
  silent.claims = false;
  const other = await t.foundation.addCell({ cellId: 'cell-2', memoryMb: 1 });
  await t.foundation.bbs.desireTask(staging('t'));
  await until(() => silent.tasks.has('t'));
  const start = (cell: typeof other) => cell.registry.startTask({ taskGuid: 't', cellId: cell.presence.cellId });
  await assert.rejects(start(other), failsWith(Code.FailedPrecondition));
  assert.deepEqual((await other.registry.tasksOfCell({ cellId: 'cell-2' })).tasks, []);
  await start(silent);
});

test('a cancelled task fails at once and its cell is told', async () => {
  const cell = await t.foundation.addCell({ cellId: 'cell-1' });
  await t.foundation.bbs.desireTask(staging('t'));
  await until(async () => (await state('t')) === 'RUNNING');
  await t.foundation.bbs.cancelTask({ taskGuid: 't' });
  await until(() => t.foundation.completions.length === 1 && cell.cancelled.length === 1);
  assert.equal(t.foundation.completions[0]!.failureReason, 'task was cancelled');
  await assert.rejects(t.foundation.bbs.cancelTask({ taskGuid: 'nobody' }), failsWith(Code.NotFound));
});

test('DGO-04: a task fails with its cell, past its time, or when it finds no room', async () => {
  const cell = await t.foundation.addCell({ cellId: 'cell-1' });
  const reasonOf = (taskGuid: string): string | undefined =>
    t.foundation.completions.find((completion) => completion.taskGuid === taskGuid)?.failureReason;
  await t.foundation.bbs.desireTask(staging('slow', { timeoutSeconds: 10 }));
  await t.foundation.bbs.desireTask(staging('large', { memoryMb: 100_000 }));
  await t.foundation.bbs.desireTask(staging('lost'));
  await until(async () => (await state('slow')) === 'RUNNING' && (await state('lost')) === 'RUNNING');
  const passUntil = (completions: number, heartbeat: () => Promise<unknown>): Promise<void> =>
    until(async () => {
      t.foundation.now! += 1_000;
      await heartbeat();
      await sleep(25);
      return t.foundation.completions.length === completions;
    });
  await passUntil(2, () => cell.heartbeat());
  await passUntil(3, async () => {});
  assert.equal(reasonOf('slow'), 'StagingTimeExpired: it did not finish within 10 seconds');
  assert.equal(reasonOf('large'), 'InsufficientResources: insufficient resources: memory');
  assert.equal(reasonOf('lost'), 'StagingError: the cell it ran on disappeared');
  assert.deepEqual(cell.cancelled, ['slow']);
});
