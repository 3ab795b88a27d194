import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { run } from '../../../src/kit/process.ts';
import { DebianArchive } from '../../../src/platform/buildpacks/debian-package.ts';

const home = mkdtempSync(join(tmpdir(), 'debian-archive-'));
after(() => rmSync(home, { recursive: true }));

async function packageFile(name: string): Promise<string> {
  const tree = join(home, name);
  mkdirSync(join(tree, 'DEBIAN'), { recursive: true });
  const control = `Package: ${name}\nVersion: 1.2-3\nArchitecture: all\nMaintainer: nobody\nDescription: of it\n`;
  writeFileSync(join(tree, 'DEBIAN/control'), control);
  await run('dpkg-deb', ['--build', tree, `${tree}.deb`]);
  return `${tree}.deb`;
}

test('a package that several buildpacks have is fetched once, and the index is read once', async () => {
  const asked: string[][] = [];
  let opened = 0;
  const archive = new DebianArchive('debian12', async () => {
    opened++;
    return {
      fetch: async (names) => {
        asked.push([...names]);
        return Promise.all(names.map(packageFile));
      },
      close: async () => {},
    };
  });
  const found = await Promise.all([
    archive.fetch(['nginx', 'nginx-common']),
    archive.fetch(['nginx', 'ruby']),
    archive.fetch([]),
  ]);
  assert.deepEqual(
    found.map((all) => all.map(({ name, version }) => `${name} ${version}`)),
    [['nginx 1.2-3', 'nginx-common 1.2-3'], ['nginx 1.2-3', 'ruby 1.2-3'], []],
  );
  assert.deepEqual(asked, [['nginx', 'nginx-common'], ['ruby']]);
  assert.equal(opened, 1);
});

test('what fails to come is told to each that asked for it', async () => {
  const archive = new DebianArchive('debian12', async () => ({
    fetch: async () => Promise.reject(new Error('no network')),
    close: async () => {},
  }));
  const all = await Promise.allSettled([archive.fetch(['nginx']), archive.fetch(['nginx', 'ruby'])]);
  assert.deepEqual(
    all.map(({ status }) => status),
    ['rejected', 'rejected'],
  );
});
