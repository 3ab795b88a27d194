import assert from 'node:assert/strict';
import { test } from 'node:test';
import { atOnce } from '../../../src/cli/up/at-once.ts';

test('what is done at the same time says whose each line is, and what is still waited for', async () => {
  const told: string[] = [];
  const { promise: stack, resolve } = Promise.withResolvers<void>();
  const all = atOnce((text) => told.push(text), {
    engines: async (say) => say('Fetching 2 packages'),
    stack: async (say) => {
      say('Installing the packages');
      await stack;
    },
    silent: async () => {},
  });
  await new Promise(setImmediate);
  resolve();
  await all;
  assert.deepEqual(told, [
    'engines: Fetching 2 packages',
    'stack: Installing the packages',
    'engines: done; waiting for: stack',
    'stack: done',
  ]);
});

test('what fails is told when the others have ended, too', async () => {
  const { promise: stack, resolve } = Promise.withResolvers<void>();
  let settled = false;
  const all = atOnce(() => {}, {
    engines: async () => {
      throw new Error('no network');
    },
    stack: () => stack,
  });
  all.catch(() => {}).finally(() => (settled = true));
  await new Promise(setImmediate);
  assert.ok(!settled);
  resolve();
  await assert.rejects(all, /no network/);
});
