import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CupolaError } from '../../../src/kit/errors.ts';
import { Logger } from '../../../src/kit/log.ts';

/** What a line says of an error. */
function logged(error: unknown): Record<string, unknown> {
  const lines: string[] = [];
  new Logger('test', {}, (line) => lines.push(line)).error('it went wrong', { error });
  return JSON.parse(lines[0]!).error;
}

test('an error in the log has its code, by which docs/errors.md says what to do', () => {
  const { stack, ...said } = logged(new CupolaError('cell_full', 'no container number is free'));
  assert.deepEqual(said, { name: 'CupolaError', code: 'cell_full', message: 'no container number is free' });
  assert.match(String(stack), /^CupolaError: no container number is free\n/);
  assert.equal(logged(Object.assign(new Error('no such file'), { code: 'ENOENT' }))['code'], 'ENOENT');
  assert.ok(!('code' in logged(new Error('of no kind'))));
});
