import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { Logger } from '../../../src/kit/log.ts';
import { isAlive, signal } from '../../../src/kit/process.ts';
import type { Component } from '../../../src/platform/components/component.ts';
import { Supervised } from '../../../src/platform/components/supervised.ts';
import { Updates } from '../../../src/platform/updates.ts';
import { endSleepers, sleeper } from '../../support/sleeper.ts';

const log = new Logger('test', {}, () => {});
afterEach(endSleepers);

async function supervised(name: string, ran: string, runs: string, more: Partial<Component> = {}): Promise<Supervised> {
  const component: Component = {
    name,
    account: null,
    stopSignal: 'SIGTERM',
    fingerprint: () => runs,
    start: sleeper,
    ...more,
  };
  return new Supervised(component, { ...(await sleeper()), fingerprint: ran });
}

async function settled(updates: Updates): Promise<void> {
  for (let round = 0; round < 200; round += 1) {
    updates.tend(() => {});
    const { outdated, problem, running } = updates.status;
    if (!running && (outdated.length === 0 || problem !== null)) break;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await updates.stop();
}

test('only what changed is replaced, one after the other, each once the one before is well', async () => {
  const [same, first, second] = [
    await supervised('postgresql', 'a', 'a'),
    await supervised('control', 'a', 'b'),
    await supervised('cell-0', 'a', 'b'),
  ];
  const before = [same, first, second].map(({ identity }) => identity!);
  const asked: string[] = [];
  const updates = new Updates(
    [same, first, second],
    async (name) => {
      asked.push(name);
      if (name === 'control') assert.ok(isAlive(before[2]!), 'the cell is not touched while control is not well');
      return asked.filter((one) => one === name).length > 2;
    },
    log,
  );
  assert.deepEqual(updates.status.outdated, ['control', 'cell-0']);
  await settled(updates);
  assert.deepEqual(asked, ['control', 'control', 'control', 'cell-0', 'cell-0', 'cell-0']);
  assert.equal(same.identity?.pid, before[0]!.pid);
  assert.ok(!isAlive(before[1]!) && !isAlive(before[2]!));
  assert.equal(first.outdated, false);
});

test('what has a way back is replaced last, and there is none once it is well', async () => {
  const order: string[] = [];
  const replaced = (name: string) => async () => {
    order.push(name);
    return sleeper();
  };
  const told = async (): Promise<void> => void order.push('settled');
  let ended = 0;
  const database = await supervised('postgresql', 'a', 'b', {
    takeOver: async () => {
      order.push('postgresql');
      const next = await sleeper();
      await new Promise((resolve) => setTimeout(resolve, 50));
      ended = Date.now();
      return next;
    },
    replacedLast: true,
    settle: told,
    goBack: replaced('back'),
  });
  const control = await supervised('control', 'a', 'b', { takeOver: replaced('control') });
  const since: number[] = [];
  const updates = new Updates([database, control], async (_, at) => since.push(at) > 0, log);
  await settled(updates);
  assert.deepEqual(order, ['control', 'postgresql', 'settled']);
  assert.ok(since[1]! >= ended, 'it is judged by what it did since');
});

test('what was replaced and not settled is so by the next supervisor', async () => {
  const order: string[] = [];
  const database = await supervised('postgresql', 'a', 'b', {
    takeOver: async () => {
      order.push('replaced');
      return sleeper();
    },
    settle: async () => void order.push('settled'),
  });
  let isWell = false;
  const ill = Promise.withResolvers<void>();
  const first = new Updates(
    [database],
    async () => {
      ill.resolve();
      return isWell;
    },
    log,
  );
  first.tend(() => {});
  await ill.promise;
  await first.stop();
  assert.deepEqual(order, ['replaced']);
  isWell = true;
  const next = new Supervised(database.component, database.note);
  await settled(new Updates([next], async () => isWell, log));
  assert.deepEqual(order, ['replaced', 'replaced', 'settled']);
  assert.equal(next.note?.fingerprint, 'b');
});

test('what cannot be settled stops the update', async () => {
  const database = await supervised('postgresql', 'a', 'b', {
    settle: async () => {
      throw new Error('the disk is full');
    },
  });
  const updates = new Updates([database], async () => true, log);
  await settled(updates);
  assert.match(updates.status.problem ?? '', /postgresql could not be updated: the disk is full/);
  assert.equal(database.outdated, true);
});

test('what has a way back and does not become well goes it, and stays to be updated', async () => {
  const order: string[] = [];
  const database = await supervised('postgresql', 'a', 'b', {
    takeOver: async () => {
      order.push('replaced');
      return sleeper();
    },
    settle: async () => void order.push('settled'),
    goBack: async () => {
      order.push('back');
      throw new Error('the former does not start');
    },
  });
  const updates = new Updates(
    [database],
    async () => {
      database.restarts += 4; // it dies again and again
      return false;
    },
    log,
  );
  await settled(updates);
  assert.deepEqual(order, ['replaced', 'back']);
  const reason = 'it ended 4 times in a row; nor did what was there before come back: the former does not start';
  assert.equal(updates.status.problem, `postgresql could not be updated: ${reason}`);
});

test('what was started as less than it should be stays to be updated, for the next supervisor too', async () => {
  const component: Component = {
    name: 'postgresql',
    account: null,
    stopSignal: 'SIGTERM',
    fingerprint: () => 'b',
    start: sleeper,
    isBehind: () => true,
  };
  const database = new Supervised(component, null);
  await database.tend();
  assert.equal(database.outdated, true);
  assert.equal(database.note?.fingerprint, undefined);
});

test('what cannot take over stops the update, and the process of before goes on', async () => {
  const router = await supervised('router', 'a', 'b', {
    takeOver: async () => {
      throw new Error('the configuration is wrong');
    },
  });
  const control = await supervised('control', 'a', 'b');
  const before = router.identity!;
  const updates = new Updates([router, control], async () => true, log);
  await settled(updates);
  assert.match(updates.status.problem ?? '', /^router could not be updated: the configuration is wrong$/);
  assert.equal(router.identity?.pid, before.pid);
  assert.deepEqual(updates.status.outdated, ['router', 'control']);
});

test('a router is replaced after the cell proxies it keeps connections to, and the one on its way out is remembered', async () => {
  const proxy = await supervised('cell-0-proxy', 'a', 'b', { takeOver: sleeper });
  const router = await supervised('router', 'a', 'a', { takeOver: sleeper, after: ['cell-0-proxy'] });
  const before = router.identity!;
  const updates = new Updates([proxy, router], async () => true, log);
  await settled(updates);
  assert.notEqual(router.identity?.pid, before.pid);
  assert.deepEqual(router.stillLeaving(), [before]);
  signal(before, 'SIGKILL');
  while (isAlive(before)) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.deepEqual(router.stillLeaving(), []);
});
