import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { MUTATIONS } from '../../mutations/mutations.ts';
import { UNTRIED } from '../../mutations/untried.ts';
import { projectFiles, ROOT, titlesOf } from '../../support/project-files.ts';

/** Does `beginning`, written by hand, mean this title? */
function means(beginning: string, title: string): boolean {
  if (!title.endsWith('…')) return title.startsWith(beginning);
  const known = title.slice(0, -1);
  return beginning.startsWith(known) || known.startsWith(beginning);
}

/** The titles of a file that `beginning` means: whole ones where there are any, else those of which most is known. */
function meant(titles: readonly string[], beginning: string): string[] {
  const all = titles.filter((title) => means(beginning, title));
  const whole = all.filter((title) => !title.endsWith('…'));
  const known = Math.max(...all.map((title) => title.length));
  const longest = all.filter((title) => title.length === known || title.startsWith(beginning));
  return whole.length > 0 ? whole : longest;
}

/** "SECURITY 24", "SECURITY-TESTS 24" and "SECURITY 33, 34" name classes of attack. */
const OF_SECURITY = /\bSECURITY(-TESTS)? \d/;

const titles = new Map(
  projectFiles()
    .filter((path) => path.endsWith('.test.ts'))
    .map((path) => [path, titlesOf(path)] as const),
);

describe('the changes that tests must notice', () => {
  test('each stands where it says, once, and names one test that is there', () => {
    const wrong = MUTATIONS.flatMap(({ file, from, to, test: path, breaks }) => {
      const places = readFileSync(join(ROOT, file), 'utf8').split(from).length - 1;
      const tests = new Set(meant(titles.get(path) ?? [], breaks));
      return [
        ...(places === 1 ? [] : [`${file}: ${places} places have ${JSON.stringify(from)}`]),
        ...(from === to ? [`${file}: ${JSON.stringify(from)} is not changed`] : []),
        ...(tests.size === 1 ? [] : [`${path}: ${tests.size} titles begin with "${breaks}"`]),
      ];
    });
    assert.deepEqual(wrong, []);
  });

  test('every title that names a class of attack has one', () => {
    const tried = new Set(
      MUTATIONS.flatMap(({ test: path, breaks }) =>
        meant(titles.get(path) ?? [], breaks).map((title) => `${path}: ${title}`),
      ),
    );
    const named = [...titles].flatMap(([path, all]) =>
      all.filter((title) => OF_SECURITY.test(title)).map((title) => `${path}: ${title}`),
    );
    assert.ok(named.length > 100, `${named.length} titles`);
    const without = new Set(named.filter((one) => !tried.has(one)));
    assert.deepEqual([...without].sort(), UNTRIED.toSorted());
  });
});
