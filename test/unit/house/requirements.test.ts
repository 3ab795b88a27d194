import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { projectFiles, ROOT, titlesOf } from '../../support/project-files.ts';
import { idsOf } from '../../support/status-page.ts';

const TABLE = 'docs/requirements.md';

/** Each row's id, and the tests it leads to, as paths from the root. */
function rows(): Map<string, string[]> {
  const lines = readFileSync(join(ROOT, TABLE), 'utf8').split('\n');
  return new Map(
    lines.flatMap((line) => {
      const id = /^\| ([A-Z]{2,4}-\d\d) /.exec(line)?.[1];
      if (id === undefined) return [];
      return [[id, [...line.matchAll(/\]\(\.\.\/([^)]+)\)/g)].map(([, path]) => path!)] as const];
    }),
  );
}

const tests = projectFiles().filter((path) => path.endsWith('.test.ts'));

test('every test whose title names a requirement stands in the row of it', () => {
  const table = rows();
  assert.ok(table.size > 50, `${table.size} rows`);
  const missing = tests.flatMap((path) =>
    [...new Set(titlesOf(path).flatMap(idsOf))]
      .filter((id) => !table.get(id)?.includes(path))
      .map((id) => `${id}: ${path}`),
  );
  assert.deepEqual(missing, []);
});

test('every test that the requirements lead to is there', () => {
  const known = new Set(tests);
  const wrong = [...rows()].flatMap(([id, paths]) =>
    paths.filter((path) => !known.has(path)).map((path) => `${id}: ${path}`),
  );
  assert.deepEqual(wrong, []);
});
