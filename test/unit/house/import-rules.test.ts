import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { describe, test } from 'node:test';
import { importsOf, projectFiles, ROOT } from '../../support/project-files.ts';

const SOURCE = join(ROOT, 'src');

/** Which rooms each room may import besides itself. A room not named here may import kit and contracts. */
const ALLOWED: Record<string, readonly string[]> = {
  kit: [],
  contracts: ['kit'],
  platform: [
    'kit',
    'contracts',
    ...['blobstore', 'cell', 'cloud-controller', 'diego', 'loggregator', 'router', 'ssh-proxy', 'uaa', 'cli'],
  ],
  cli: ['kit', 'contracts', 'platform'],
};

interface Import {
  file: string;
  specifier: string;
}

function allImports(): Import[] {
  return readdirSync(SOURCE, { recursive: true, encoding: 'utf8' })
    .filter((path) => /\.[cm]?[jt]s$/.test(path))
    .flatMap((path) =>
      importsOf(readFileSync(join(SOURCE, path), 'utf8')).map((specifier) => ({ file: path, specifier })),
    );
}

/** What is wrong with this import, null where nothing is. */
function fault({ file, specifier }: Import, packages: ReadonlySet<string>): string | null {
  if (specifier.startsWith('node:')) return null;
  if (!specifier.startsWith('.')) {
    const name = specifier
      .split('/')
      .slice(0, specifier.startsWith('@') ? 2 : 1)
      .join('/');
    return packages.has(name) ? null : `${file}: ${specifier} is neither a dependency nor written node:${specifier}`;
  }
  const target = relative(SOURCE, resolve(SOURCE, file, '..', specifier));
  if (target.startsWith('..')) return `${file}: ${specifier} lies outside src`;
  const [from, to] = [file.split('/')[0]!, target.split('/')[0]!];
  if (from === to || (ALLOWED[from] ?? ['kit', 'contracts']).includes(to)) return null;
  return `${file}: ${from} must not import ${target}`;
}

function dependencies(): Set<string> {
  const { dependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>;
  };
  return new Set(Object.keys(dependencies));
}

describe('the house rules', () => {
  test('the reader of imports finds every kind', () => {
    const text = [
      "import { a,\n  b } from './one.ts';",
      "import type { C } from './two.ts';",
      "export * from './three.ts';",
      "import './four.ts';",
      "const x = await import('./five.ts');",
      "type T = import('./six.ts').T;",
      "// import './not.ts'",
      "new Worker(new URL('./seven.ts', import.meta.url));",
    ].join('\n');
    const names = ['one', 'two', 'three', 'four', 'five', 'six', 'seven'].map((name) => `./${name}.ts`);
    assert.deepEqual(importsOf(text).sort(), names.sort());
    const packages = new Set(['pg']);
    assert.match(fault({ file: 'uaa/x.ts', specifier: '../diego/bbs.ts' }, packages)!, /uaa must not import diego/);
    assert.match(fault({ file: 'kit/x.ts', specifier: '../contracts/blobs.ts' }, packages)!, /kit must not/);
    assert.match(fault({ file: 'kit/x.ts', specifier: 'left-pad' }, packages)!, /neither/);
    assert.equal(fault({ file: 'uaa/x.ts', specifier: '../kit/log.ts' }, packages), null);
  });

  test('a room imports itself, kit, contracts, Node.js and declared packages, never another room', () => {
    const imports = allImports();
    assert.ok(imports.length > 500, `${imports.length} imports read`);
    const packages = dependencies();
    assert.deepEqual(
      imports.map((one) => fault(one, packages)).filter((text) => text !== null),
      [],
    );
  });

  test('the lock file names no host, so that any registry serves', () => {
    const lock = readFileSync(join(ROOT, 'package-lock.json'), 'utf8');
    assert.equal(/"resolved"/.test(lock), false);
    assert.match(lock, /"integrity": "sha512-/);
  });

  test('no file of the project names a registry host or a place on one machine', () => {
    const hosts = ['registry.npm' + 'js.org', 'registry.yarn' + 'pkg.com', 'proxy.golang' + '.org', 'pypi' + '.org'];
    const places = ['/wo' + 'rk/', '/ho' + 'me/runner', '/tmp/re' + 'f'];
    const found: string[] = [];
    for (const path of projectFiles()) {
      const text = readFileSync(join(ROOT, path), 'latin1');
      if (text.includes('\0')) continue;
      for (const word of [...hosts, ...places]) if (text.includes(word)) found.push(`${path}: ${word}`);
    }
    assert.deepEqual(found, []);
  });
});
