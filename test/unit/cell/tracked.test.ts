import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TrackedConnections } from '../../../src/cell/network/tracked.ts';
import { classOf } from '../../../src/kit/engine-words.ts';
import { CupolaError } from '../../../src/kit/errors.ts';
import { Logger } from '../../../src/kit/log.ts';

/** conntrack, which says these words one after another (null: it deleted some), and that there are none from then on. */
function forgetting(...words: (string | null)[]) {
  const logged: string[] = [];
  const sides: string[] = [];
  const log = new Logger('test', {}, (line) => logged.push(line));
  const connections = new TrackedConnections(log, async (command, args) => {
    sides.push(args[3]!);
    const said = words.length > 0 ? words.shift()! : 'conntrack v1.4.7: 0 flow entries have been deleted.';
    if (said === null) return '';
    throw new CupolaError('command_failed', `${command} ended with 1: ${classOf(said)}`);
  });
  return { connections, logged, sides };
}

test('SECURITY 33: an entry that somebody else deletes meanwhile ends no pass for good', async () => {
  const { connections, logged, sides } = forgetting(
    null,
    "conntrack v1.4.7 (conntrack-tools): Operation failed: such conntrack doesn't exist",
    null,
  );
  await connections.forget('192.0.2.1');
  assert.deepEqual(sides, ['--orig-src', '--orig-src', '--orig-src', '--orig-src', '--orig-dst']);
  assert.deepEqual(logged, []);
});

test('whatever else it complains of is logged, by its kind', async () => {
  const { connections, logged } = forgetting('conntrack v1.4.7: Operation failed: Operation not permitted');
  await connections.forget('192.0.2.1');
  assert.match(logged.join(''), /stays until it times out.*permission was denied/);
});
