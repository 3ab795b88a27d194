import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { Followers } from '../../../src/loggregator/followers.ts';

let now = 0;
let followers: Followers;
beforeEach(() => {
  now = 0;
  followers = new Followers(() => now);
});

test('LOG-01: a follower is behind until it reads on from after the newest line', () => {
  followers.note('app', 'ann', 0n);
  assert.equal(followers.behind('app', 50n), 1);
  for (const position of [40n, 50n]) followers.note('app', 'ann', position);
  assert.equal(followers.behind('app', 50n), 1, 'the line itself is not accepted yet');
  followers.note('app', 'ann', 51n);
  assert.equal(followers.behind('app', 50n), 0);
  assert.equal(followers.behind('another', 50n), 0);
});

test('two followers count for themselves, also of one user at one address', () => {
  followers.note('app', 'ann', 51n);
  for (const reader of ['bob', 'ann']) followers.note('app', reader, 10n);
  assert.equal(followers.behind('app', 50n), 2);
  followers.note('app', 'bob', 51n);
  assert.equal(followers.behind('app', 50n), 1);
  followers.note('app', 'ann', 30n);
  assert.equal(followers.behind('app', 50n), 1, 'the one behind went on, not the one before');
});

test('who was silent for three seconds follows no more', () => {
  followers.note('app', 'ann', 10n);
  now = 2_900;
  assert.equal(followers.behind('app', 50n), 1);
  now = 3_100;
  assert.equal(followers.behind('app', 50n), 0);
});

test('of one source, no more than a hundred are remembered', () => {
  for (let n = 0; n < 1_000; n += 1) followers.note('app', `reader ${n}`, 10n);
  assert.equal(followers.behind('app', 50n), 100);
});
