import assert from 'node:assert/strict';
import { test } from 'node:test';
import { run } from '../../../src/kit/process.ts';

test('SECURITY 25: a command that writes without an end is ended, whichever output it writes to', {
  timeout: 30_000,
}, async () => {
  const bounds = { mostBytes: 1_000_000 };
  const tooLong = { code: 'command_too_long' };
  assert.equal((await run('head', ['--bytes=1000000', '/dev/zero'], bounds)).length, 1_000_000);
  await assert.rejects(run('head', ['--bytes=9000000', '/dev/zero'], bounds), tooLong);
  await assert.rejects(run('sh', ['-c', 'head --bytes=9000000 /dev/zero >&2'], bounds), tooLong);
});
