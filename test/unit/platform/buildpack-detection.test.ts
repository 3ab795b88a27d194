import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';

const BUILDPACKS = new URL('../../../buildpacks', import.meta.url).pathname;
/** As `cf buildpacks` lists them. */
const ORDER = ['staticfile', 'java', 'ruby', 'nodejs', 'go', 'python', 'php', 'nginx', 'binary'];

/** Apps by the buildpack that is the first to take them; null: none does. */
const APPS: readonly (readonly [language: string | null, ...files: string[]])[] = [
  ['staticfile', 'Staticfile'],
  ['staticfile', 'Staticfile', 'package.json'],
  ['java', 'pom.xml'],
  ['ruby', 'Gemfile'],
  ['ruby', 'config.ru'],
  ['ruby', 'Gemfile', 'package.json'],
  ['nodejs', 'package.json'],
  ['nodejs', 'package.json', 'requirements.txt'],
  ['go', 'go.mod'],
  ['go', 'vendor/example.org/own/own.go'],
  [null, 'main.go'],
  ['python', 'requirements.txt'],
  ['python', 'pyproject.toml'],
  ['python', 'Pipfile'],
  ['python', 'setup.py'],
  [null, 'Pipfile.lock'],
  [null, 'server.py'],
  ['php', 'index.php'],
  ['php', 'htdocs/index.php'],
  ['php', 'composer.json'],
  ['php', '.bp-config/options.json'],
  ['php', 'index.php', 'nginx.conf'],
  ['nginx', 'nginx.conf'],
  [null, 'index.html'],
];

describe('BPK-01: the first system buildpack that takes an app', () => {
  for (const [language, ...files] of APPS) {
    test(`of ${files.join(' and ')} is ${language ?? 'none'}`, () => {
      const app = mkdtempSync(join(tmpdir(), 'cupola-detection-'));
      try {
        for (const file of files) {
          mkdirSync(join(app, dirname(file)), { recursive: true });
          writeFileSync(join(app, file), '');
        }
        let said = '';
        const first = ORDER.find((name) => {
          const { status, stdout } = spawnSync(join(BUILDPACKS, name, 'bin/detect'), [app], { encoding: 'utf8' });
          if (status === 0) said = stdout.trim();
          return status === 0;
        });
        assert.equal(first ?? null, language);
        if (first) assert.equal(said, `${first} ${versionOf(first)}`);
      } finally {
        rmSync(app, { recursive: true });
      }
    });
  }
});

function versionOf(name: string): string {
  return readFileSync(join(BUILDPACKS, name, 'VERSION'), 'utf8').trim();
}
