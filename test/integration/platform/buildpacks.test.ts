import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { sha256Of } from '../../../src/kit/file-digest.ts';
import { Logger } from '../../../src/kit/log.ts';
import { writeTarFragment, writeZip } from '../../../src/platform/buildpacks/archive.ts';
import { buildSystemBuildpacks } from '../../../src/platform/buildpacks/build.ts';
import { dropUnloaded } from '../../../src/platform/buildpacks/elf.ts';
import { fetchNpmPackage } from '../../../src/platform/buildpacks/npm-package.ts';

let directory: string;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'staging-buildpacks-'));
});
after(() => rm(directory, { recursive: true }));

async function tree(name: string): Promise<string> {
  const root = join(directory, name);
  await mkdir(join(root, 'bin'), { recursive: true });
  await writeFile(join(root, 'bin/run'), '#!/bin/sh\n', { mode: 0o755 });
  await writeFile(join(root, 'data.gz'), gzipSync('x'));
  await symlink('bin/run', join(root, 'link'));
  await utimes(join(root, 'bin/run'), Date.now() / 1000, Math.random() * 1e9);
  return root;
}

test('the same tree gives the same zip and the same archive, whenever it was written (BPK-03)', async () => {
  const digests = await Promise.all(
    ['one', 'two'].map(async (name) => {
      const root = await tree(name);
      await writeZip(root, join(directory, `${name}.zip`));
      await writeTarFragment(root, 'deps/.prepacked/x', join(directory, `${name}.tar.gz`));
      return [await sha256Of(join(directory, `${name}.zip`)), await sha256Of(join(directory, `${name}.tar.gz`))];
    }),
  );
  assert.deepEqual(digests[0], digests[1]);
  const target = join(directory, 'unzipped');
  execFileSync('unzip', ['-q', join(directory, 'one.zip'), '-d', target]);
  assert.equal(execFileSync(join(target, 'link')).toString(), '', 'modes and links survive');
});

test('an archive without end mark continues into another one', async () => {
  const root = await tree('front');
  await writeTarFragment(root, 'deps/.prepacked/front', join(directory, 'front.tar.gz'));
  const rest = execFileSync('tar', ['-C', root, '-cz', './bin']);
  await writeFile(join(directory, 'whole.tgz'), Buffer.concat([await readFile(join(directory, 'front.tar.gz')), rest]));
  const names = execFileSync('tar', ['-tzf', join(directory, 'whole.tgz')])
    .toString()
    .trim()
    .split('\n');
  assert.deepEqual(names.slice(0, 3), [
    './deps/.prepacked/front/',
    './deps/.prepacked/front/bin/',
    './deps/.prepacked/front/bin/run',
  ]);
  assert.equal(names.at(-1), './bin/run');
});

test('buildpacks are made once, and again when their source changes', async () => {
  const sourceDirectory = join(directory, 'source');
  // Cloud Foundry's detection order (install_buildpacks of cf-deployment).
  const order = ['staticfile', 'java', 'ruby', 'nodejs', 'go', 'python', 'php', 'nginx', 'binary'];
  for (const name of order) {
    await cp(new URL('../../../buildpacks/binary', import.meta.url), join(sourceDirectory, name), { recursive: true });
  }
  const build = (outputDirectory = join(directory, 'built')) =>
    buildSystemBuildpacks({
      sourceDirectory,
      outputDirectory,
      cacheDirectory: join(directory, 'fetched'),
      sharedDirectory: join(directory, 'shared'),
      stack: 'debian12',
      log: new Logger('test', {}, () => {}),
      onProgress: (message) => progress.push(message),
      onMade: (message) => made.push(message),
    });
  let progress: string[] = [];
  let made: string[] = [];
  const first = await build();
  assert.deepEqual(
    first.map(({ name, position }) => [name, position]),
    order.map((name, index) => [`${name}_buildpack`, index + 1]),
  );
  assert.equal(first.at(-1)?.sha256, await sha256Of(first.at(-1)!.file));
  assert.equal(progress.length, order.length);
  const version = (await readFile(join(sourceDirectory, 'go/VERSION'), 'utf8')).trim();
  assert.deepEqual(made.sort(), order.map((name) => `${name}_buildpack ${version}`).sort());
  [progress, made] = [[], []];
  assert.deepEqual(await build(), first);
  assert.deepEqual([progress, made], [[], []]);

  const digests = (built: typeof first) => built.map(({ sha256 }) => sha256);
  assert.deepEqual(digests(await build(join(directory, 'other'))), digests(first));
  assert.deepEqual(progress, [], 'another installation takes what is there');
  assert.deepEqual(made.sort(), order.map((name) => `${name}_buildpack ${version}, built before`).sort());
  const nodeOf = async (file: string) => (await stat(file)).ino;
  const third = (await build(join(directory, 'third'))).at(-1)!;
  assert.equal(await nodeOf(third.file), await nodeOf(join(directory, 'other', basename(third.file))), 'the very file');
  assert.deepEqual(
    await readdir(join(directory, 'third')).then((names) => names.filter((name) => /part/.test(name))),
    [],
  );
  made = [];
  const shared = join(directory, 'shared');
  const php = (await readdir(shared)).find((name) => /^php.*zip$/.test(name));
  await rm(join(shared, php!));
  await writeFile(join(shared, php!), 'poison');
  assert.deepEqual(digests(await build(join(directory, 'fourth'))), digests(first));
  assert.deepEqual(progress, ['building php_buildpack'], 'and nothing that is not what was put there');
  progress = [];
  await writeFile(join(sourceDirectory, 'binary/VERSION'), '9.9.9\n');
  const again = await build();
  assert.deepEqual(progress, ['building binary_buildpack']);
  assert.match(again.at(-1)!.file, /binary_buildpack-v9\.9\.9\.zip$/);
});

test('a fetched runtime that is not the pinned one is never used', async () => {
  const fetched = join(directory, 'poisoned');
  await mkdir(fetched);
  await writeFile(join(fetched, 'ms-2.1.3.tgz'), 'poison');
  const wrong = fetchNpmPackage({ name: 'ms', version: '2.1.3', integrity: 'sha512-AAAA' }, fetched);
  await assert.rejects(wrong, /not what was pinned|ended with/);
});

test('a program without its unloaded parts still runs', async () => {
  const copy = join(directory, 'node');
  await cp(process.execPath, copy);
  await dropUnloaded(copy);
  assert.equal(execFileSync(copy, ['-p', '1 + 1']).toString(), '2\n');
  await assert.rejects(dropUnloaded(join(directory, 'one.zip')), { code: 'not_elf' });
});
