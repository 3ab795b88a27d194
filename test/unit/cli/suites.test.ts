import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { filesOf } from '../../../src/cli/lanes/suites.ts';

const root = mkdtempSync(join(tmpdir(), 'cupola-suites-'));
after(() => rmSync(root, { recursive: true }));
const FILES = ['unit/a/one.test.ts', 'unit/a/deep/two.test.ts', 'unit/ab/three.test.ts', 'e2e/four.test.ts'];
for (const file of [...FILES, 'unit/a/support.ts', 'support/five.test.ts', 'empty/none.txt']) {
  mkdirSync(dirname(join(root, 'test', file)), { recursive: true });
  writeFileSync(join(root, 'test', file), '');
}
const found = (...words: string[]) => filesOf(words, root);
const at = (path: string): string => join(root, 'test', path);

test('a suite, a directory and a file ask for tests, each once', () => {
  const [one, two, three, four] = FILES.map((file) => `test/${file}`);
  assert.deepEqual(found('unit'), { files: [two, one, three], unknown: [] });
  assert.deepEqual(found(at('unit/a')), { files: [two, one], unknown: [] });
  assert.deepEqual(found(`${at('unit/a')}/`, at('unit/a/one.test.ts')), { files: [two, one], unknown: [] });
  assert.deepEqual(found(at('unit/a/one.test.ts'), 'end-to-end'), { files: [one, four], unknown: [] });
  assert.deepEqual(found(root), { files: [two, one, three, four], unknown: [] });
});

test('what asks for no test is named: a directory or a file without any, and what is not there', () => {
  const none = ['empty', 'unit/a/support.ts', 'support/five.test.ts', 'unit/a/on', 'unit/missing.test.ts'].map(at);
  assert.deepEqual(found(at('unit/a'), ...none, 'units').unknown, [...none, 'units']);
});
