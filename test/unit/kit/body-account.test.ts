import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TEXT_LIMITS, UPLOAD_LIMITS } from '../../../src/kit/body.ts';
import { BodyAccount, type BodyLimits } from '../../../src/kit/body-account.ts';
import { refusedAs, TestAnswer } from '../../support/answer-accounts.ts';

/** As many callers as it takes have as many bodies, and as large ones, as each may. */
function filled(limits: BodyLimits): BodyAccount {
  const account = new BodyAccount(limits);
  const each = Math.floor(limits.bytesPerCaller / limits.bodiesPerCaller);
  for (let caller = 0; account.held.bodies < limits.bodies && account.held.bytes + each <= limits.bytes; caller += 1) {
    for (let count = 0; count < limits.bodiesPerCaller; count += 1) {
      const full = refusedAs(() => account.enter(new TestAnswer(), `filler ${caller}`).add(each));
      if (full !== undefined) break;
    }
  }
  return account;
}

for (const [name, limits, small] of [
  ['texts', TEXT_LIMITS, 60_000],
  ['uploads', UPLOAD_LIMITS, 1024 ** 3],
] as const) {
  test(`SECURITY 25: whoever fills the account of ${name}, others’ first bodies pass`, () => {
    const account = filled(limits);
    const large = account.held.bytes;
    assert.ok(large > 0.9 * limits.bytes || account.held.bodies === limits.bodies, JSON.stringify(account.held));
    account.enter(new TestAnswer(), 'honest').add(small);
    assert.equal(account.held.bytes, large + small);
    const beyond = () => account.enter(new TestAnswer(), 'honest').add(limits.bytesPerCaller - small);
    assert.equal(refusedAs(beyond), 'overloaded', 'as much as one may have has no room');
  });
}

test('SECURITY 25: of many bodies that grow together, what has room is read', () => {
  const account = new BodyAccount(TEXT_LIMITS);
  const size = TEXT_LIMITS.bytesPerCaller / 12;
  const part = size / 32;
  let growing = Array.from({ length: 16 }, () => account.enter(new TestAnswer(), 'one caller'));
  for (let at = 0; at < size; at += part) {
    growing = growing.filter((entry) => refusedAs(() => entry.add(part)) === undefined);
  }
  assert.equal(growing.length, 12);
  assert.equal(account.held.bytes, TEXT_LIMITS.bytesPerCaller);
  assert.equal(account.held.bodies, 16, 'those that were refused count until they are answered');
});

test('a body that was refused once stays so, though there is room again', () => {
  const account = new BodyAccount(TEXT_LIMITS);
  const entry = account.enter(new TestAnswer(), 'one caller');
  const beyond = TEXT_LIMITS.bytesPerCaller + 1;
  for (const bytes of [beyond, 1])
    assert.equal(
      refusedAs(() => entry.add(bytes)),
      'too_many_bodies',
    );
});
