import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { sealedCopy } from '../../../src/cell/garden/sealed-program.ts';
import { run } from '../../../src/kit/process.ts';

test('a sealed copy of a program runs, and not even root can write to it', async () => {
  const copy = sealedCopy('/bin/echo');
  assert.match(copy, /^\/proc\/\d+\/fd\/\d+$/);
  assert.equal(await run(copy, ['fine']), 'fine\n');
  assert.throws(() => writeFileSync(copy, 'other', { flag: 'r+' }), { code: 'EPERM' });
});

test('what cannot be copied is run where it lies', () => {
  assert.equal(sealedCopy('/nowhere/program'), '/nowhere/program');
});
