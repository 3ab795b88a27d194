import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { PROGRAMS } from '../../../src/cli/programs.ts';
import { importProgram } from '../../../src/kit/bundle.js';
import { makeBundles } from '../../../src/kit/bundles.ts';
import { PROJECT } from '../../../src/kit/project.js';

const ENTRIES = ['cli/main.js', 'platform/control.js', 'platform/cell.js', 'platform/supervisor-main.ts'];

test('every entry asks for a program that is bundled, and runs the same file where there is none', () => {
  const asked = ENTRIES.map((entry) => {
    const text = readFileSync(join(PROJECT, 'src', entry), 'utf8');
    const [, name, file] = /importProgram\('(\w+)', \(\) => import\('\.\/([\w/]+\.ts)'\)[,)]/.exec(text) ?? [];
    return [name, `${entry.split('/')[0]}/${file}`];
  });
  assert.deepEqual(Object.fromEntries(asked), PROGRAMS);
});

test('the programs of the project are bundled, and the command line runs from its bundle', async () => {
  const project = mkdtempSync(join(tmpdir(), 'cupola-programs-'));
  try {
    for (const name of ['src', 'package.json', 'package-lock.json'])
      cpSync(join(PROJECT, name), join(project, name), { recursive: true });
    symlinkSync(join(PROJECT, 'node_modules'), join(project, 'node_modules'));
    await makeBundles(PROGRAMS, project);
    const loaded = (name: string): Promise<{ COMMANDS: object }> =>
      importProgram(name, () => Promise.reject(new Error('from its sources')), { project });
    assert.ok('up' in (await loaded('cli')).COMMANDS);
    await assert.rejects(loaded('none'), { code: 'ERR_MODULE_NOT_FOUND' });
  } finally {
    rmSync(project, { recursive: true });
  }
});
