import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, test } from 'node:test';
import { importsOf, isCode, projectFiles, ROOT } from '../../support/project-files.ts';

/** Programs that no other file imports: the command line, the processes it starts or started, and what people and test runners call. */
const PROGRAMS = [
  /^src\/cli\/main\.js$/,
  /^src\/cli\/test\.ts$/,
  /^src\/platform\/[\w-]+-main\.ts$/,
  /^src\/platform\/(control|cell)\.ts$/,
  /^bench\/[\w-]+\.ts$/,
  /^test\/tools\/[\w-]+\.ts$/,
  /\.test\.ts$/,
];
/** Files that tools and people look for by their name. */
const KNOWN_BY_NAME =
  /^(LICENSE|README\.md|CONTRIBUTING\.md|SECURITY\.md|[\w.-]+\.(json|yaml)|\.gitignore|\.npmrc|cupola|\.ci\/run)$/;

interface Files {
  /** Path from the project's root, to text. */
  [path: string]: string;
}

/** Code that no program reaches by its imports, or by naming the file as a program to start. */
function unreached(files: Files): string[] {
  const code = Object.keys(files).filter(isCode);
  const waiting = code.filter((path) => PROGRAMS.some((pattern) => pattern.test(path)));
  const reached = new Set(waiting);
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    const text = files[path]!;
    const started = [...text.matchAll(/\b((?:src|test|bench)\/[\w./-]+\.[jt]s)['`]/g)].map((match) => match[1]!);
    const imported = importsOf(text).map((specifier) => normalize(join(dirname(path!), specifier)));
    for (const next of [...started, ...imported]) {
      if (reached.has(next) || !(next in files)) continue;
      reached.add(next);
      waiting.push(next);
    }
  }
  return code.filter((path) => !reached.has(path));
}

/** Everything else that no other file names: neither the file nor a folder it is in. */
function unnamed(files: Files): string[] {
  return Object.keys(files).filter((path) => {
    if (path.endsWith('.ts') || isCode(path) || KNOWN_BY_NAME.test(path)) return false;
    const [, second, ...rest] = path.split('/');
    const names = [path.split('/').at(-1)!, ...(rest.length > 0 ? [second!] : [])];
    for (let folder = dirname(path); folder.includes('/'); folder = dirname(folder)) names.push(folder);
    const others = Object.entries(files).filter(([other]) => other !== path);
    return !others.some(([, text]) => names.some((name) => text.includes(name)));
  });
}

describe('the files of the project', () => {
  const files: Files = Object.fromEntries(
    projectFiles().map((path) => [path, readFileSync(join(ROOT, path), 'latin1')]),
  );

  test('none is empty', () => {
    assert.deepEqual(
      Object.keys(files).filter((path) => statSync(join(ROOT, path)).size === 0),
      [],
    );
  });

  test('none is left half merged', () => {
    // Also as a formatter of Markdown leaves the marks.
    const mark = /^(<{7}|>{7}|> > > > > > >)( |$)/m;
    assert.match('a\n<<<<<<< HEAD\nb', mark);
    assert.deepEqual(
      Object.keys(files).filter((path) => mark.test(files[path]!)),
      [],
    );
  });

  test('what a record is stands in one place', () => {
    // In any order, over one line or several.
    const copy =
      /typeof (\w+) [!=]== 'object'[^;{]*Array\.isArray\(\1\)|Array\.isArray\((\w+)\)[^;{]*typeof \2 [!=]== 'object'/;
    const places = Object.keys(files).filter((path) => path.startsWith('src/') && copy.test(files[path]!));
    assert.deepEqual(places, ['src/kit/json.ts']);
  });

  test('no code is unused', () => {
    assert.ok(Object.keys(files).length > 500, 'the files were read');
    assert.deepEqual(unreached(files), []);
  });

  test('nothing else lies about that no file names', () => {
    assert.deepEqual(unnamed(files), []);
  });

  test('the rules find what is unused', () => {
    const made: Files = {
      'src/cli/main.js': "import './used.ts';\nspawn('src/cell/started.ts');",
      'src/cli/used.ts': '',
      'src/cell/started.ts': '',
      'src/cell/left.ts': "import './leftover.ts';",
      'src/cell/leftover.ts': '',
      oom: 'x',
      'examples/named/server.js': 'x',
      'docs/tour.md': 'examples/named',
      'README.md': 'docs/tour.md',
    };
    assert.deepEqual(unreached(made), ['src/cell/left.ts', 'src/cell/leftover.ts']);
    assert.deepEqual(unnamed(made), ['oom']);
  });
});
