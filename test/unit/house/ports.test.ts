import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { projectFiles, ROOT } from '../../support/project-files.ts';

/** Where Linux takes the ports of outgoing connections from, unless it is told otherwise: any of them may be taken already. */
const FIRST = 32_768;
const LAST = 60_999;

test('nothing that tests or measures listens at a port that an outgoing connection may have', () => {
  const places = projectFiles()
    .filter((path) => /^(test\/(integration|e2e|support)|bench)\/.*\.ts$/.test(path))
    .flatMap((path) =>
      [...readFileSync(join(ROOT, path), 'utf8').matchAll(/(?<![\w.-])\d{2}_?\d{3}(?![\w.])/g)]
        .map(([text]) => [text, Number(text.replace('_', ''))] as const)
        // Round numbers are bytes and milliseconds.
        .filter(([, value]) => value > FIRST && value <= LAST && value % 1000 !== 0)
        .map(([text]) => `${path}: ${text}`),
    );
  assert.deepEqual(places, []);
});
