import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { linesOfFailure, reportsIn } from '../../../src/cli/lanes/report.ts';
import { REPORTER } from '../../../src/cli/lanes/reporter.ts';

const FILES = {
  'late.test.ts': "test('a', () => new Promise((done) => setTimeout(done, 1_000)));",
  'good.test.ts': "test('a', () => {}); test('b', { skip: 'why' }, () => {}); test('c', { skip: true }, () => {});",
  'bad.test.ts':
    "describe('suite', () => { test('a', () => {}); test('b', () => { throw new Error('b\\nmore', { cause: 'why' }); }); });",
  'odd.test.ts': `
    test('a', () => { throw new Error('of an object', { cause: { status: 500 } }); });
    test('b', () => { throw { code: 1 }; });
    test('c', () => { throw ''; });
    test('d', () => { throw new AggregateError([new Error('first')]); });
    test('e', () => { throw undefined; });`,
  'hook.test.ts': "after(() => { throw new Error('left'); }); test('a', () => {});",
  'no-code.test.ts': "import './nothing.ts';",
  'skipped.test.ts': "describe('all of it', { skip: 'needs root' }, () => { test('a', () => {}); });",
};

describe('the report of a run of Node’s test runner', () => {
  const directory = mkdtempSync(join(tmpdir(), 'cupola-report-'));
  const written = join(directory, 'report.json');
  const asTold = { fileAt: (path: string) => path };
  after(() => rmSync(directory, { recursive: true }));

  test('says of each file, by itself, whether it passed, and what it skipped', () => {
    const paths = Object.entries(FILES).map(([name, text]) => {
      const path = join(directory, name);
      writeFileSync(path, `import { after, describe, test } from 'node:test';\n${text}`);
      return path;
    });
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const words = [`--test-reporter=${REPORTER}`, `--test-reporter-destination=${written}`];
    // At once, so that files end in another order than their tests are told.
    const atOnce = `--test-concurrency=${paths.length}`;
    assert.equal(spawnSync(process.execPath, ['--test', atOnce, ...words, ...paths], { env }).status, 1);
    const said = reportsIn(written, asTold).map(({ file, seconds, ...rest }) => {
      assert.ok(Number.isInteger(seconds));
      // Where the stack begins is no matter.
      for (const failure of rest.failures)
        failure.errors = failure.errors.map((text) => text.replace(/\n +at .*$/s, ''));
      return [file, rest] as const;
    });
    const [late, good, bad, odd, hook, noCode, skipped] = paths;
    const odds = [
      { failed: 'a', errors: ['of an object', '{ status: 500 }'] },
      { failed: 'b', errors: ['{ code: 1 }'] },
      { failed: 'c', errors: ["''"] },
      { failed: 'd', errors: ['AggregateError [Error]'] },
      { failed: 'e', errors: ['undefined'] },
    ];
    assert.deepEqual(
      new Map(said),
      new Map([
        [late, { passed: true, skipped: [], failures: [] }],
        [good, { passed: true, skipped: ['b (why)', 'c'], failures: [] }],
        [bad, { passed: false, skipped: [], failures: [{ failed: 'b', errors: ['b\nmore', 'why'] }] }],
        [odd, { passed: false, skipped: [], failures: odds }],
        [hook, { passed: false, skipped: [], failures: [{ failed: hook, errors: ['left'] }] }],
        [noCode, { passed: false, skipped: [], failures: [{ failed: noCode, errors: ['test failed'] }] }],
        [skipped, { passed: true, skipped: ['all of it (needs root)'], failures: [] }],
      ]),
    );
  });

  test('holds what was whole when the runner was killed, and nothing where it never began', () => {
    appendFileSync(written, '{"file":"/half');
    assert.equal(reportsIn(written, asTold).length, Object.keys(FILES).length);
    assert.deepEqual(reportsIn(join(directory, 'none.json'), asTold), []);
  });

  test('tells a failure with its causes, of long ones the beginning', () => {
    assert.deepEqual(linesOfFailure({ failed: 'b', errors: ['b\n\nmore', 'why'] }), [
      'b',
      '      b',
      '',
      '      more',
      '      because of: why',
    ]);
    assert.equal(linesOfFailure({ failed: 'b', errors: ['x\n'.repeat(100)] }).length, 31);
    assert.ok(linesOfFailure({ failed: 'b', errors: ['x'.repeat(10_000)] }).join('').length < 5000);
  });
});
