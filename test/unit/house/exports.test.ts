import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { unusedExports } from '../../support/exports.ts';
import { codeBelow } from '../../support/import-graph.ts';

/** Made by a generator. */
const MADE = 'src/contracts/gen/';
/** What Node's test runner takes by these names. */
const OF_THE_RUNNER = [
  'src/cli/lanes/reporter.ts: default',
  'src/cli/lanes/spec-reporter.ts: default',
  'test/tools/shared-platform.ts: globalSetup',
  'test/tools/shared-platform.ts: globalTeardown',
];

describe('what a file exports', () => {
  test('another file takes, or it is part of what another takes', () => {
    const files = codeBelow('src', 'test', 'bench');
    assert.ok(Object.keys(files).length > 900);
    assert.deepEqual(
      unusedExports(files).filter((one) => !one.startsWith(MADE)),
      OF_THE_RUNNER,
    );
  });

  test('what nothing takes is found, in each folder', () => {
    const files = {
      'src/a.ts': [
        'export const used = 1;',
        'export function never() {}',
        'export class Alone { used = used; }',
        'export interface Part { a: number }',
        'export type Nobodys = string;',
        'export async function taken(part: Part) {}',
        '// export const commented = 1;',
        "export { late as later, type Kept } from './b.ts';",
        "export { first } from './b.ts';",
      ].join('\n'),
      'src/b.ts': 'export const late = 1;\nexport interface Kept {}\nexport const first = 1;\nexport let shown = 1;',
      'src/c.ts': 'export const deep = 1;\nexport const whole = 1;\nexport default 1;',
      'test/t.ts': "import { used, taken as mine, later } from '../src/a.ts';\nexport const helper = 1;",
      'bench/b.ts': "const { first } = await import('../src/a.ts');\nexport const figure = 1;",
      'bench/c.ts': "type Deep = import('../src/c.ts').deep;\nimport * as b from '../src/b.ts';",
    };
    assert.deepEqual(unusedExports(files), [
      'src/a.ts: never',
      'src/a.ts: Alone',
      'src/a.ts: Nobodys',
      'src/a.ts: Kept',
      'src/c.ts: whole',
      'src/c.ts: default',
      'test/t.ts: helper',
      'bench/b.ts: figure',
    ]);
  });
});
