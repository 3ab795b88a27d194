import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { removeUnusedBuildpacks, removeUnusedEngines } from '../../support/unused-caches.ts';

const NOW = Date.parse('2026-03-20T00:00:00Z');
const home = mkdtempSync(join(tmpdir(), 'unused-'));
after(() => rmSync(home, { recursive: true }));

/** Files, each with the day of March on which it was read last. */
function directory(files: Readonly<Record<string, number>>): string {
  const made = mkdtempSync(join(home, 'cache-'));
  for (const [path, day] of Object.entries(files)) {
    const file = join(made, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, '');
    utimesSync(file, new Date(Date.UTC(2026, 2, day)), new Date(Date.UTC(2026, 1, 1)));
  }
  return made;
}

test('images and buildpacks that no checkout used for two weeks are removed from what tests keep, and nothing else', () => {
  const engines = directory({
    '0123456789ab/packages.json': 19,
    '0123456789ab.json': 19,
    'ba9876543210/packages.json': 1,
    'abcdefabcdef.json': 1,
    '.building-x/packages.json': 1,
    other: 1,
  });
  assert.deepEqual(removeUnusedEngines(engines, NOW).sort(), ['abcdefabcdef.json', 'ba9876543210']);
  assert.deepEqual(readdirSync(engines).sort(), ['.building-x', '0123456789ab', '0123456789ab.json', 'other']);

  const [used, old] = [`go_buildpack-${'a'.repeat(24)}`, `go_buildpack-${'b'.repeat(24)}`];
  const buildpacks = directory({ [`${used}.zip`]: 1, [`${used}.sha256`]: 19, [`${old}.zip`]: 1, [`${old}.sha256`]: 1 });
  assert.deepEqual(removeUnusedBuildpacks(buildpacks, NOW), [`${old}.sha256`]);
  assert.deepEqual(readdirSync(buildpacks).sort(), [`${used}.sha256`, `${used}.zip`]);
  assert.deepEqual(removeUnusedEngines(join(home, 'nowhere')), []);
});
