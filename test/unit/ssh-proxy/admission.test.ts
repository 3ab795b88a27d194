import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Admission, PROGRESS } from '../../../src/ssh-proxy/admission.ts';

function visitors() {
  const gone: string[] = [];
  const socket = (name: string) => ({
    destroy() {
      gone.push(name);
      return this as never;
    },
  });
  return { gone, socket };
}

const LIMITS = { unauthenticated: 6, unauthenticatedPerAddress: 4, loginMs: 60_000 };

describe('admission of connections without a user', () => {
  test('the oldest of an address that has too many makes place', () => {
    const { gone, socket } = visitors();
    const admission = new Admission(LIMITS);
    for (const name of ['a', 'b', 'c', 'd', 'e']) admission.enter(socket(name), '192.0.2.1');
    assert.deepEqual(gone, ['a']);
    assert.equal(admission.size, 4);
  });

  test('one that came further stays before one that did nothing', () => {
    const { gone, socket } = visitors();
    const admission = new Admission(LIMITS);
    admission.enter(socket('good'), '192.0.2.1').progress = PROGRESS.keysExchanged;
    for (const name of ['a', 'b', 'c', 'd', 'e']) admission.enter(socket(name), '192.0.2.1');
    assert.deepEqual(gone, ['a', 'b']);
  });

  test('a flood from one address drives out its own and nobody else', () => {
    const { gone, socket } = visitors();
    const admission = new Admission(LIMITS);
    admission.enter(socket('good'), '198.51.100.7');
    for (let serial = 0; serial < 500; serial++) admission.enter(socket(`bad ${serial}`), '192.0.2.1');
    assert.ok(!gone.includes('good'));
    assert.equal(admission.size, 5);
  });

  test('a flood from many addresses is held to the bound, the busiest first', () => {
    const { gone, socket } = visitors();
    const admission = new Admission(LIMITS);
    for (const name of ['a', 'b', 'c']) admission.enter(socket(name), '192.0.2.1');
    for (let serial = 2; serial < 6; serial++) admission.enter(socket(`from ${serial}`), `192.0.2.${serial}`);
    assert.equal(admission.size, 6);
    assert.deepEqual(gone, ['a']);
  });

  test('whoever leaves takes up no room, and leaving twice is leaving once', () => {
    const { gone, socket } = visitors();
    const admission = new Admission(LIMITS);
    const visitor = admission.enter(socket('a'), '192.0.2.1');
    admission.leave(visitor);
    admission.leave(visitor);
    assert.equal(admission.size, 0);
    for (const name of ['b', 'c', 'd', 'e']) admission.enter(socket(name), '192.0.2.1');
    assert.deepEqual(gone, []);
  });

  test('whoever does not say who they are in time is turned out', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const { gone, socket } = visitors();
    const admission = new Admission(LIMITS);
    admission.enter(socket('slow'), '192.0.2.1');
    t.mock.timers.tick(60_000);
    assert.deepEqual(gone, ['slow']);
    assert.equal(admission.size, 0);
  });
});
