import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { globSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, relative } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { BundledTests } from '../../../src/cli/lanes/bundled-tests.ts';
import { SPEC_REPORTER } from '../../../src/cli/lanes/spec-reporter.ts';
import { ROOT } from '../../support/project-files.ts';

let project: string;
let tests: BundledTests;
beforeEach(() => {
  project = mkdtempSync(join(tmpdir(), 'cupola-bundled-'));
  for (const name of ['src', 'test']) mkdirSync(join(project, name));
  symlinkSync(join(ROOT, 'node_modules'), join(project, 'node_modules'));
  const directory = mkdtempSync(join(project, 'bundled-'));
  tests = new BundledTests(project, directory);
});
afterEach(() => rmSync(project, { recursive: true }));

const write = (name: string, text: string): void => writeFileSync(join(project, name), text);
const ran = (name: string, ...words: string[]) => {
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const { stdout, stderr } = spawnSync(process.execPath, [...words, tests.pathOf(name)], { env });
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

test('an error is told with its place in the source, and so are a test and what ends the process', async () => {
  write(
    'src/part.ts',
    "interface None {\n  none: null;\n}\n\nexport const fail = () => {\n  throw new Error('in a part');\n};\n",
  );
  const head = "import { test } from 'node:test';\nimport { fail } from '../src/part.ts';\n\n";
  write('test/a.test.ts', `${head}test('a', () => {\n  fail();\n});\n`);
  write('test/b.test.ts', `${head}\nconst none: string | null = null;\nfail();\n`);
  await tests.make(['test/a.test.ts', 'test/b.test.ts']);
  const reporter = ['--test', `--test-reporter=${SPEC_REPORTER}`, '--test-reporter-destination=stdout'];
  const said = (name: string): string => ran(name, ...reporter).stdout;
  const [a, b] = [said('test/a.test.ts'), said('test/b.test.ts')];
  const below = relative('.', project);
  assert.ok(a.includes(`test at ${below}/test/a.test.ts:4:`), a);
  assert.ok(a.includes(`(${below}/src/part.ts:6:`), a);
  assert.ok(a.includes(`(${below}/test/a.test.ts:5:`), a);
  assert.ok(b.includes(`${below}/test/b.test.ts:6:`), b);
});

test('a place is told as it was where its map is cut off', async () => {
  write('test/a.test.ts', "import { test } from 'node:test';\ntest('a', () => { throw new Error('here'); });\n");
  await tests.make(['test/a.test.ts']);
  const path = tests.pathOf('test/a.test.ts');
  truncateSync(`${path}.map`, 20);
  const reporter = ['--test', `--test-reporter=${SPEC_REPORTER}`, '--test-reporter-destination=stdout'];
  const { stdout } = ran('test/a.test.ts', ...reporter);
  assert.ok(stdout.includes('here') && stdout.includes(`${basename(path)}:`), stdout);
});

test('a file is named as it is below the project, whether what ran is told or its source', () => {
  assert.equal(tests.fileAt(tests.pathOf('test/a.test.ts')), 'test/a.test.ts');
  assert.equal(tests.fileAt(join(project, 'test/a.test.ts')), 'test/a.test.ts');
});

test('what is no program is told with its place', async () => {
  write('test/a.test.ts', "import './nowhere.ts';");
  await assert.rejects(tests.make(['test/a.test.ts']), /test\/a\.test\.ts:1:\d+: ERROR: .*nowhere/);
});
