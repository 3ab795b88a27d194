import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Change, Changes } from '../../../src/diego/changes.ts';
import { LocalBus, SUBJECTS } from '../../../src/kit/bus.ts';

/** What the second event of these changes names: the first one goes out at once. */
async function named(...published: Change[]): Promise<unknown> {
  const bus = new LocalBus();
  const heard: Record<string, unknown>[] = [];
  bus.subscribe(SUBJECTS.diego, (event) => void heard.push(event));
  const changes = new Changes(bus);
  changes.publish({ processGuid: 'first' });
  for (const change of published) changes.publish(change);
  changes.close();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(heard.length, 2);
  assert.deepEqual(heard[0]!['processGuids'], ['first']);
  return heard[1]!['processGuids'];
}

const lrps = (count: number) => Array.from({ length: count }, (_, at) => ({ processGuid: `lrp-${at}` }));

test('an event names every LRP of its moment, once', async () => {
  const [a, b] = lrps(2);
  assert.deepEqual(await named(a!, b!, a!), ['lrp-0', 'lrp-1']);
});

test('an event names no LRP where only tasks changed', async () => {
  assert.deepEqual(await named({ taskGuid: 't' }, { taskGuid: 'u' }), []);
});

test('an event names none where one of its changes may be of any LRP', async () => {
  assert.equal(await named({ processGuid: 'a' }, { work: true }), undefined);
});

test('an event names up to 200 LRPs, and none where there are more', async () => {
  assert.equal(((await named(...lrps(200))) as string[]).length, 200);
  assert.equal(await named(...lrps(201)), undefined);
});
