import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { projectFiles, ROOT } from '../../support/project-files.ts';

/** Paths and names of files that a page has in backquotes, and that no file or folder ends with. */
function goneIn(page: string, files: readonly string[]): string[] {
  const named = page.matchAll(/`([\w./-]+\.ts|(?:src|test|bench|docs|buildpacks|examples)\/[\w./-]+)`/g);
  return [...named]
    .map(([, name]) => name!.replace(/\/$/, ''))
    .filter((name) => !files.some((file) => `/${file}/`.includes(`/${name}/`)));
}

describe('the pages of the project', () => {
  const files = projectFiles();

  test('name files that are there', () => {
    const pages = files.filter((path) => path.endsWith('.md') && (path.startsWith('docs/') || !path.includes('/')));
    assert.ok(pages.length > 40, `${pages.length} pages`);
    const gone = pages.flatMap((page) =>
      goneIn(readFileSync(join(ROOT, page), 'utf8'), files).map((name) => `${page}: ${name}`),
    );
    assert.deepEqual(gone, []);
  });

  test('a name of nothing is found', () => {
    const page = 'See `src/kit/`, `kit/rate.ts`, `rate.ts`, `ate.ts`, `src/gone/` and `npm ci`.';
    assert.deepEqual(goneIn(page, ['src/kit/rate.ts']), ['ate.ts', 'src/gone']);
  });
});
