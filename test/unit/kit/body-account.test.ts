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
