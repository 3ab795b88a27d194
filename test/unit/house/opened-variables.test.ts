import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { ROOT } from '../../support/project-files.ts';

const SOURCE = join(ROOT, 'src/cloud-controller');

/** What starts containers, and the one file that knows who may read variables over the API. */
const MAY_OPEN = [
  'apps/sealed-variables.ts',
  'apps/variables.ts',
  'builds/sync.ts',
  'diego/wanted.ts',
  'tasks/sync.ts',
];

describe("an app's variables", () => {
  test('SECURITY 28: they are opened for containers, and for readers behind the flags that hide them', () => {
    const opening = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ts') && readFileSync(join(SOURCE, path), 'utf8').includes('openVariables'))
      .sort();
    assert.deepEqual(opening, MAY_OPEN);
  });
});
