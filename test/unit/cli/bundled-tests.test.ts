import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { globSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { BundledTests } from '../../../src/cli/lanes/bundled-tests.ts';
import { ROOT } from '../../support/project-files.ts';

let project: string;
let tests: BundledTests;
beforeEach(() => {
  project = mkdtempSync('/tmp/cupola-bundled-');
  for (const name of ['src', 'test']) mkdirSync(join(project, name));
  symlinkSync(join(ROOT, 'node_modules'), join(project, 'node_modules'));
  const directory = mkdtempSync(join(project, 'bundled-'));
  tests = new BundledTests(project, directory);
});
afterEach(() => rmSync(project, { recursive: true }));

const write = (name: string, text: string): void => writeFileSync(join(project, name), text);
const ran = (name: string) => {
  const { stdout, stderr } = spawnSync(process.execPath, ['--enable-source-maps', tests.pathOf(name)]);
  return { stdout: stdout.toString(), stderr: stderr.toString() };
};

test('what runs says of itself what its source would say, and of what it imports; none is the program', async () => {
  write('src/part.ts', 'export const part = [import.meta.filename, import.meta.main];');
  write(
    'test/a.test.ts',
    `import { part } from '../src/part.ts';
    console.log(JSON.stringify([import.meta.dirname, import.meta.url, 'import.meta.url', import.meta.main, part]));`,
  );
  await tests.make(['test/a.test.ts']);
  const source = pathToFileURL(join(project, 'test/a.test.ts')).href;
  const part = [join(project, 'src/part.ts'), false];
  assert.deepEqual(JSON.parse(ran('test/a.test.ts').stdout), [
    join(project, 'test'),
    source,
    'import.meta.url',
    false,
    part,
  ]);
});

test('several files share what they import, and libraries that are no part of it are found', async () => {
  write('src/part.ts', "import koffi from 'koffi'; export const part = typeof koffi.load;");
  for (const name of ['test/a.test.ts', 'test/b.test.ts'])
    write(name, "import { part } from '../src/part.ts'; console.log(part);");
  await tests.make(['test/a.test.ts', 'test/b.test.ts']);
  assert.equal(globSync(tests.pathOf('shared/*.js')).length, 1);
  assert.equal(ran('test/a.test.ts').stdout, 'function\n', ran('test/a.test.ts').stderr);
});

test('an error names the line of the source', async () => {
  write('test/a.test.ts', "const none: string | null = null;\n\nthrow new Error('here');");
  await tests.make(['test/a.test.ts']);
  assert.match(ran('test/a.test.ts').stderr, /test\/a\.test\.ts:3:/);
});

test('a file is named as it is below the project, whether what ran is told or its source', () => {
  assert.equal(tests.fileAt(tests.pathOf('test/a.test.ts')), 'test/a.test.ts');
  assert.equal(tests.fileAt(join(project, 'test/a.test.ts')), 'test/a.test.ts');
});

test('what is no program is told with its place', async () => {
  write('test/a.test.ts', "import './nowhere.ts';");
  await assert.rejects(tests.make(['test/a.test.ts']), /test\/a\.test\.ts:1:\d+: ERROR: .*nowhere/);
});
