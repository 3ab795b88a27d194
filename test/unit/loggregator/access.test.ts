import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ReadAccess } from '../../../src/loggregator/access.ts';

const bearer = { token: 'a token', name: 'user 1' };
const tokens = { verify: () => Promise.reject(new Error('nobody asks')) };

test('who loses a role reads a log for five seconds more and no longer, however long the answer was under way', async () => {
  let now = 0;
  let holds = true;
  const asked: number[] = [];
  const access = new ReadAccess(
    async (_token, sources) => {
      const readable = holds ? sources : [];
      asked.push(now);
      // The role goes while the answer that it is there is under way.
      holds = false;
      now += 800;
      return readable;
    },
    tokens,
    () => now,
  );
  assert.equal(await access.mayRead(bearer, 'app'), true);
  now = 4_999;
  assert.equal(await access.mayRead(bearer, 'app'), true, 'someone who follows a log is not asked for each time');
  now = 5_000;
  assert.equal(await access.mayRead(bearer, 'app'), false);
  assert.deepEqual(asked, [0, 5_000]);
});
