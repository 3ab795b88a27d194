import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { ReadAccess } from '../../../src/loggregator/access.ts';

const bearer = { token: 'a token', name: 'user 1' };
const tokens = { verify: () => Promise.reject(new Error('nobody asks')) };

test('who loses a role reads a log for five seconds more and no longer, however long the answer was under way', async () => {
  let now = 0;
  let holds = true;
  let answers = true;
  const asked: number[] = [];
  const access = new ReadAccess(
    async (_token, sources) => {
      asked.push(now);
      if (!answers) await new Promise(() => {});
      const readable = holds ? sources : [];
      // The role goes while the answer that it is there is under way.
      holds = false;
      now += 800;
      return readable;
    },
    tokens,
    () => now,
  );
  assert.equal(await access.mayRead(bearer, 'app'), true);
  answers = false; // to what is asked again meanwhile
  now = 1_999;
  assert.equal(await access.mayRead(bearer, 'app'), true, 'someone who follows a log is not asked for each time');
  assert.deepEqual(asked, [0]);
  now = 4_999;
  assert.equal(await access.mayRead(bearer, 'app'), true);
  answers = true;
  now = 5_000;
  assert.equal(await access.mayRead(bearer, 'app'), false);
  assert.deepEqual(asked, [0, 4_999, 5_000]);
});

test('who follows a log does not wait for the Cloud Controller, which is asked again meanwhile, once', async () => {
  let now = 0;
  const asked: { at: number; answer: (readable: readonly string[]) => void; fail: (error: Error) => void }[] = [];
  const access = new ReadAccess(
    () => {
      const { promise, resolve, reject } = Promise.withResolvers<readonly string[]>();
      asked.push({ at: now, answer: resolve, fail: reject });
      return promise;
    },
    tokens,
    () => now,
  );
  const times = () => asked.map(({ at }) => at);
  const first = access.mayRead(bearer, 'app');
  asked[0]!.answer(['app']);
  assert.equal(await first, true);
  for (now of [2_000, 2_500, 3_000]) assert.equal(await access.mayRead(bearer, 'app'), true);
  assert.deepEqual(times(), [0, 2_000], 'nobody has answered yet');
  asked[1]!.fail(new Error('away'));
  await turn();
  now = 3_500;
  assert.equal(await access.mayRead(bearer, 'app'), true);
  asked[2]!.answer(['app']);
  await turn();
  now = 5_400;
  assert.equal(await access.mayRead(bearer, 'app'), true);
  assert.deepEqual(times(), [0, 2_000, 3_500], 'what is known is of 3,500');
  now = 5_500;
  assert.equal(await access.mayRead(bearer, 'app'), true);
  asked[3]!.answer([]);
  await turn();
  assert.equal(await access.mayRead(bearer, 'app'), false, 'as soon as it is known that the role is gone');
});

test('an answer that was long under way takes the place of none that was asked for later', async () => {
  let now = 0;
  const answers: ((readable: readonly string[]) => void)[] = [];
  const access = new ReadAccess(
    () => {
      const { promise, resolve } = Promise.withResolvers<readonly string[]>();
      answers.push(resolve);
      return promise;
    },
    tokens,
    () => now,
  );
  const early = access.mayRead(bearer, 'app');
  now = 100;
  const late = access.mayRead(bearer, 'app');
  answers[1]!([]);
  assert.equal(await late, false);
  answers[0]!(['app']);
  assert.equal(await early, true);
  assert.equal(await access.mayRead(bearer, 'app'), false);
});
