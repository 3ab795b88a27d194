import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { importProgram } from '../../../src/kit/bundle.js';
import { makeBundles } from '../../../src/kit/bundles.ts';
import { PROJECT } from '../../../src/kit/project.js';

interface Told {
  path: string;
  greeting: string;
}

let project: string;
beforeEach(() => {
  project = mkdtempSync(join(tmpdir(), 'cupola-bundles-'));
  mkdirSync(join(project, 'src'));
  write('program.ts', "export { greeting } from './greeting.ts';\nexport const path = import.meta.filename;\n");
  write('greeting.ts', "export const greeting: string = 'hello';\n");
});
afterEach(() => rmSync(project, { recursive: true }));

const write = (name: string, text: string): void => writeFileSync(join(project, 'src', name), text);
/** The directories below dist. */
const made = (): string[] => readdirSync(join(project, 'dist'));
const make = () => makeBundles({ program: 'program.ts' }, project);
const source = join('src', 'program.ts');
const start = () =>
  importProgram<Told>('program', () => import(`${join(project, source)}?${Math.random()}`), { project });

test('a program runs as it is where there is no bundle, and from its bundle once that is made', async () => {
  assert.ok((await start()).path.endsWith(source));
  await make();
  const { path, greeting } = await start();
  assert.equal(path, join(project, 'dist', made()[0]!, 'program.js'));
  assert.equal(greeting, 'hello');
});

test('a bundle of other sources is never run: not after a change, nor after one of a file beside', async () => {
  await make();
  write('greeting.ts', "export const greeting: string = 'welcome';\n");
  assert.ok((await start()).path.endsWith(source));
  await make();
  assert.equal((await start()).greeting, 'welcome');
  writeFileSync(join(project, 'package-lock.json'), '{"other": "libraries"}');
  assert.ok((await start()).path.endsWith(source));
  await make();
  assert.ok(!(await start()).path.endsWith(source));
  mkdirSync(join(project, 'node_modules'));
  writeFileSync(join(project, 'node_modules/.package-lock.json'), '{"installed": "others"}');
  assert.ok((await start()).path.endsWith(source));
});

test('every account may read it, whatever the mask of who makes it; several make it at once', async () => {
  const mask = process.umask(0o077);
  try {
    await Promise.all([make(), make(), make()]);
  } finally {
    process.umask(mask);
  }
  const bundles = join(project, 'dist');
  assert.equal(made().length, 1);
  const bundle = join(bundles, made()[0]!);
  for (const [path, mode] of [
    [bundles, 0o755],
    [bundle, 0o755],
    [join(bundle, 'program.js'), 0o644],
  ] as const) {
    assert.equal(statSync(path).mode & 0o777, mode, path);
  }
});

test('sources that are no program leave nothing behind, and say what is wrong', async () => {
  write('program.ts', "export { greeting } from './nowhere.ts';\n");
  await assert.rejects(make(), (error: Error) => {
    assert.match(String(error.cause), /nowhere/);
    return true;
  });
  assert.deepEqual(made(), []);
});

test('a bundle of before stays for an hour, then it goes with the next one that is made', async () => {
  const bundles: string[] = [];
  const makeNext = async (age: number) => {
    for (const bundle of bundles) utimesSync(bundle, new Date(), new Date(Date.now() - age));
    write('greeting.ts', `export const greeting = '${bundles.length}';\n`);
    await make();
    const all = made().map((name) => join(project, 'dist', name));
    bundles.push(all.find((bundle) => !bundles.includes(bundle))!);
  };
  await makeNext(0);
  await makeNext(30 * 60_000);
  assert.deepEqual(bundles.map(existsSync), [true, true]);
  await makeNext(2 * 60 * 60_000);
  assert.deepEqual(bundles.map(existsSync), [false, false, true]);
});

test('sources that cannot all be read run, and those that change while a bundle is made have none', async () => {
  await make();
  mkdirSync(join(project, 'package-lock.json'));
  assert.ok((await start()).path.endsWith(source), 'no digest comes of a directory');
  rmSync(join(project, 'package-lock.json'), { recursive: true });
  rmSync(join(project, 'dist'), { recursive: true });
  const making = make();
  write('greeting.ts', "export const greeting = 'meanwhile';\n");
  await making;
  assert.deepEqual(made(), []);
});

test('a bundle of another account is not run, nor is one put beside it', {
  skip: process.getuid?.() !== 0,
}, async () => {
  await make();
  const bundle = join(project, 'dist', made()[0]!);
  chownSync(bundle, 12_345, 12_345);
  assert.ok((await start()).path.endsWith(source));
  rmSync(bundle, { recursive: true });
  chownSync(join(project, 'dist'), 12_345, 12_345);
  await assert.rejects(make(), { code: 'bundle_failed' });
  assert.deepEqual(made(), []);
});

test('what makes bundles is asked where there is none, and not where there is one', async () => {
  let asked = 0;
  const prepare = async () => {
    asked++;
    await make();
  };
  const prepared = () =>
    importProgram<Told>('program', () => Promise.reject(new Error('source')), { project, prepare });
  assert.equal((await prepared()).greeting, 'hello');
  assert.equal((await prepared()).greeting, 'hello');
  assert.equal(asked, 1);
});

test('a server or client of HTTP loads in a bundle no more of Node.js than it uses', async () => {
  write(
    'program.ts',
    `import http, { createServer, request } from 'node:http';
import * as all from 'node:http';
const same = [http.createServer === createServer, all.request === request, http.STATUS_CODES[404] === 'Not Found'];
console.log(JSON.stringify([...same, process.moduleLoadList.some((name) => name.includes('undici'))]));
`,
  );
  await make();
  const run = (file: string) => JSON.parse(execFileSync(process.execPath, [file], { encoding: 'utf8' }));
  assert.deepEqual(run(join(project, 'dist', made()[0]!, 'program.js')), [true, true, true, false]);
});

test('code in a bundle finds the project as code in its sources does', async () => {
  mkdirSync(join(project, 'src/kit'));
  copyFileSync(join(PROJECT, 'src/kit/project.js'), join(project, 'src/kit/project.js'));
  write('program.ts', "export { PROJECT as path } from './kit/project.js';\nexport const greeting = '';\n");
  assert.equal((await start()).path, project);
  await make();
  assert.equal((await start()).path, project);
});
