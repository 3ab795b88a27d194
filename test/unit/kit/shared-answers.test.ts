import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { test } from 'node:test';
import { SharedAnswers } from '../../../src/kit/shared-answers.ts';

test('SECURITY 14: an answer is never from before it was asked for, and those who ask meanwhile share the next', async () => {
  let asked = 0;
  const ends: (() => void)[] = [];
  const answers = new SharedAnswers<string, number>(async (key) => {
    const number = key === 'a' ? ++asked : 0;
    const { promise, resolve } = Promise.withResolvers<void>();
    ends.push(resolve);
    await promise;
    if (number === 2) throw new Error('broken');
    return number;
  });
  const endOne = async (): Promise<void> => {
    ends.shift()?.();
    await new Promise((resolve) => setImmediate(resolve));
  };
  const first = answers.of('a');
  const meanwhile = [answers.of('a'), answers.of('a')].map((answer) => answer.catch((error: Error) => error.message));
  assert.equal(asked, 1);
  const other = answers.of('b');
  await endOne();
  assert.equal(await first, 1);
  await endOne();
  assert.equal(await other, 0, 'another question waits for none of them');
  assert.equal(asked, 2, 'both share one');
  const later = answers.of('a');
  await endOne();
  assert.deepEqual(await Promise.all(meanwhile), ['broken', 'broken']);
  await endOne();
  assert.equal(await later, 3, 'one that failed ends the next of nobody');
  assert.equal(ends.length, 0);
});

test('a question that several share is asked for none of them: it counts for nobody, and ends with nobody', async () => {
  const asker = new AsyncLocalStorage<string>();
  const seen: (string | undefined)[] = [];
  const answers = new SharedAnswers(async () => {
    seen.push(asker.getStore());
  });
  await asker.run('one', () => Promise.all([answers.of('a'), answers.of('a')]));
  assert.deepEqual(seen, [undefined, undefined]);
});
