import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Logger } from '../../../src/kit/log.ts';
import { Places } from '../../../src/ssh-proxy/places.ts';

function places(total: number) {
  const logged: string[] = [];
  const all = new Places(total, 'SSH connections', new Logger('ssh', {}, (line) => logged.push(line)));
  const take = (userGuid: string, appGuid: string) => all.take({ userGuid, owner: { appGuid } as never });
  return { logged, take };
}

const full = (answer: ReturnType<Places['take']>): string | null => ('full' in answer ? answer.full : null);

test('a user has three tenths of the places, with however many apps', () => {
  const { take } = places(10);
  for (let app = 0; app < 3; app++) assert.equal(full(take('a', `app ${app}`)), null);
  assert.equal(
    full(take('a', 'app 3')),
    'You have 3 SSH connections, as many as one user may have. End one and try again.',
  );
  assert.equal(full(take('b', 'app 0')), null);
});

test('an app has three tenths of the places, with however many users', () => {
  const { take } = places(10);
  for (let user = 0; user < 3; user++) assert.equal(full(take(`user ${user}`, 'app')), null);
  assert.match(full(take('user 3', 'app')) ?? '', /^This app has 3 SSH connections/);
  assert.equal(full(take('user 0', 'other')), null);
});

test('there are no more than all, and one that is left is free', () => {
  const { take } = places(10);
  const first = take('0', '0');
  for (let serial = 1; serial < 10; serial++) assert.equal(full(take(`${serial}`, `${serial}`)), null);
  assert.match(full(take('10', '10')) ?? '', /^The platform has 10 SSH connections/);
  assert.ok('leave' in first);
  first.leave();
  assert.equal(full(take('10', '10')), null);
});

test('of many who are refused one line tells, with their number', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { logged, take } = places(10);
  for (let serial = 0; serial < 103; serial++) take('a', `${serial}`);
  assert.deepEqual(logged, []);
  t.mock.timers.tick(60_000);
  assert.equal(logged.length, 1);
  assert.match(logged[0] ?? '', /SSH connections were refused.*"count":100.*"userGuid":"a"/);
  take('a', 'again');
  t.mock.timers.tick(60_000);
  assert.match(logged[1] ?? '', /"count":1,/);
});
