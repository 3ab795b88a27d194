import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { isCode, projectFiles, ROOT } from '../../support/project-files.ts';

/** What only operators have done, at installation, or who tests: no tenant and no secret is a part of it. */
const OPERATORS =
  /^src\/(platform\/|cell\/stack\/|cli\/lanes\/|kit\/(debian\/|(engines|shared-tree|whole-directory)\.ts))/;

/** Who starts programs by itself, and what becomes of the words that one writes. */
const STARTS: Readonly<Record<string, string>> = {
  'src/kit/posix-spawn.ts': 'whatever its caller says',
  'src/kit/process.ts': 'classified, unless for an operator',
  'src/platform/components/launch.ts': "a component's log file",
  'src/cell/garden/archives.ts': 'classified',
  'src/cell/garden/runtime.ts': "classified; a session's and a process's own go to whoever opened it",
  'src/cell/garden/sessions.ts': 'starts none',
  'src/cell/garden/user-namespaces.ts': 'dropped',
  'src/cli/commands/logs.ts': "the operator's terminal",
  'src/cli/commands/test.ts': "the operator's terminal",
  'src/cli/lanes/inside.ts': 'the terminal of whoever tests',
  'src/cli/lanes/lane.ts': 'the terminal of whoever tests',
  'src/cli/test.ts': "the operator's terminal",
  'src/cli/up/start.ts': "the supervisor's log file",
};

const sources = projectFiles()
  .filter((path) => path.startsWith('src/') && isCode(path))
  .map((path) => ({ path, text: readFileSync(join(ROOT, path), 'utf8') }));

test("SECURITY 28: the words of an engine that may hold a tenant's values are shown nowhere", () => {
  const showing = sources.filter(({ text }) => /showWords: true/.test(text)).map(({ path }) => path);
  assert.ok(showing.length > 5);
  assert.deepEqual(
    showing.filter((path) => !OPERATORS.test(path)),
    [],
  );
});

test('SECURITY 28: whoever starts a program has said what becomes of its words', () => {
  const starting = sources
    .filter(({ text }) => /from 'node:child_process'|from '[./a-z]*posix-spawn\.ts'|int posix_spawn\(/.test(text))
    .map(({ path }) => path);
  assert.deepEqual(starting.toSorted(), Object.keys(STARTS).toSorted());
});
