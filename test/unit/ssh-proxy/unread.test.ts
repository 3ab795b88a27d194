import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Sender, Unread } from '../../../src/ssh-proxy/unread.ts';

function senders() {
  const ended: string[] = [];
  const make = (userGuid: string, name: string) => {
    const channel = { readableLength: 0 };
    const sender: Sender = { userGuid, channels: new Set([channel]), end: () => void ended.push(name) };
    return { channel, sender };
  };
  return { ended, make };
}

test('past the share of a user the largest of their connections ends', () => {
  const { ended, make } = senders();
  const unread = new Unread(100);
  const [large, small, other] = [make('a', 'large'), make('a', 'small'), make('b', 'other')];
  for (const [one, bytes] of [
    [other, 29],
    [large, 20],
    [small, 10],
  ] as const) {
    one.channel.readableLength = bytes;
    unread.count(one.sender);
  }
  assert.deepEqual(ended, []);
  small.channel.readableLength = 11;
  unread.count(small.sender);
  assert.deepEqual(ended, ['large']);
});

test('past the whole the largest of all ends', () => {
  const { ended, make } = senders();
  const unread = new Unread(100);
  for (let user = 0; user < 5; user++) {
    const { channel, sender } = make(`${user}`, `of ${user}`);
    channel.readableLength = 20 + user;
    unread.count(sender);
  }
  assert.deepEqual(ended, ['of 4']);
});

test('what was taken, and who is gone, counts no more', () => {
  const { ended, make } = senders();
  const unread = new Unread(100);
  const [one, two] = [make('a', 'one'), make('a', 'two')];
  for (let turn = 0; turn < 5; turn++) {
    for (const bytes of [30, 0]) {
      one.channel.readableLength = bytes;
      unread.count(one.sender);
    }
    two.channel.readableLength = 30;
    unread.count(two.sender);
    unread.leave(two.sender);
  }
  assert.deepEqual(ended, []);
});
