import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CfError, isFault, publicError } from '../../../src/cloud-controller/errors.ts';
import { HttpRefusal } from '../../../src/kit/refusal.ts';

const ofPostgres = (code: string): Error => Object.assign(new Error('could not extend file "base/1/2"'), { code });

test('a database that is away or has no room is "try again later", without its words; what nobody expected says nothing', () => {
  for (const code of ['53100', '53300', '57P01', '57014', '25P03', '08006', 'ECONNREFUSED']) {
    const shown = publicError(new Error('insert failed', { cause: ofPostgres(code) }));
    assert.deepEqual([shown.status, shown.title], [503, 'ServiceUnavailable'], code);
    assert.doesNotMatch(shown.detail, /extend|insert/);
  }
  const unknown = publicError(ofPostgres('42P01'));
  assert.deepEqual([unknown.status, unknown.detail], [500, 'An unknown error occurred.']);
});

test('the operator hears of faults, and not of what a caller was told on purpose', () => {
  assert.equal(isFault(ofPostgres('53100')), true);
  assert.equal(isFault(new CfError('ServiceUnavailable', 'The disk is full')), false);
  assert.equal(isFault(new HttpRefusal('overloaded', 'too many')), false);
});
