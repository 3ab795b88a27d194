import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { run } from '../../../src/kit/process.ts';
import { ROOT } from '../../support/project-files.ts';

const PACKAGE = `node-linux-${process.arch}`;

describe('what a machine without npm begins with', () => {
  const home = mkdtempSync(join(tmpdir(), 'fetch-npm-'));
  const project = join(home, 'project');
  const archives = new Map<string, Buffer>();
  const asked: string[] = [];
  const registry = createServer((request, response) => {
    asked.push(request.url!);
    response.end(archives.get(request.url!));
  });

  before(async () => {
    mkdirSync(join(project, 'buildpacks/nodejs'), { recursive: true });
    const node = await archiveOf(PACKAGE, 'bin/node', '#!/bin/sh\n');
    const npm = await archiveOf('npm', 'bin/npm-cli.js', '// npm\n');
    archives.set(`/${PACKAGE}/-/${PACKAGE}-26.1.0.tgz`, node).set('/npm/-/npm-11.1.0.tgz', npm);
    const packages = {
      'node_modules/node-linux-other': { version: '1.0.0', integrity: integrityOf(npm) },
      [`node_modules/${PACKAGE}`]: { version: '26.1.0', integrity: integrityOf(node), bin: { node: 'bin/node' } },
    };
    writeFileSync(join(project, 'package-lock.json'), JSON.stringify({ name: 'x', packages }, null, 2));
    const pinned = (name: string, version: string, archive: Buffer) => {
      const packages = { any: { name, integrity: integrityOf(archive) } };
      return { name, version, packages };
    };
    const all = [pinned('node', '26.1.0', node), pinned('npm', '11.1.0', npm)];
    writeFileSync(join(project, 'buildpacks/nodejs/dependencies.json'), JSON.stringify({ npm: all }, null, 2));
    await new Promise<void>((resolve) => registry.listen(0, '127.0.0.1', resolve));
  });
  after(() => {
    registry.close();
    rmSync(home, { recursive: true });
  });

  async function archiveOf(name: string, path: string, content: string): Promise<Buffer> {
    const tree = join(home, name);
    mkdirSync(join(tree, 'package/bin'), { recursive: true });
    writeFileSync(join(tree, 'package', path), content, { mode: 0o755 });
    await run('tar', ['-czf', `${tree}.tgz`, '-C', tree, 'package']);
    return readFileSync(`${tree}.tgz`);
  }

  const integrityOf = (archive: Buffer): string => `sha512-${createHash('sha512').update(archive).digest('base64')}`;

  /** Its exit code, and what it says. The registry is this process's own, so that it is not waited for in a way that stops it. */
  async function fetchNpm(): Promise<[code: number | null, said: string]> {
    const { port } = registry.address() as AddressInfo;
    const child = spawn('sh', [join(ROOT, 'tools/fetch-npm.sh'), project], {
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: home, npm_config_registry: `http://127.0.0.1:${port}/` },
    });
    let said = '';
    child.stderr.on('data', (chunk) => (said += chunk));
    return new Promise((resolve) => child.on('close', (code) => resolve([code, said])));
  }

  test('is the Node.js and the npm that are pinned, of the registry that npm would ask, each fetched once', async () => {
    assert.deepEqual(await fetchNpm(), [0, '']);
    assert.deepEqual(asked.splice(0), [...archives.keys()]);
    const modules = join(project, 'node_modules');
    assert.equal(readFileSync(join(modules, '.bin/node'), 'utf8'), '#!/bin/sh\n');
    assert.ok(existsSync(join(modules, '.npm/bin/npm-cli.js')));
    assert.ok(existsSync(join(modules, `.fetched/${PACKAGE}-26.1.0.tgz`)));

    const noted = JSON.parse(readFileSync(join(modules, '.package-lock.json'), 'utf8'));
    assert.equal(noted.packages[`node_modules/${PACKAGE}`].version, '26.1.0');
    const time = (path: string): number => statSync(join(project, path)).mtimeMs;
    assert.ok(time('node_modules/.package-lock.json') > time(`node_modules/${PACKAGE}`), 'npm believes it');
    assert.ok(time('node_modules/.package-lock.json') < time('package-lock.json'), 'and ./cupola installs the rest');
  });

  test('stays what it was where the registry gives another archive than was pinned', async () => {
    const [path] = archives.keys();
    const pinned = archives.get(path!)!;
    archives.set(path!, await archiveOf('other', 'bin/node', '#!/bin/sh\necho other\n'));
    try {
      const [code, said] = await fetchNpm();
      assert.equal(code, 1);
      assert.match(said, /node-linux-\S+-26\.1\.0\.tgz of \S+ is not what was pinned/);
      assert.equal(readFileSync(join(project, 'node_modules/.bin/node'), 'utf8'), '#!/bin/sh\n');
      assert.ok(existsSync(join(project, 'node_modules/.package-lock.json')));
    } finally {
      archives.set(path!, pinned);
    }
  });
});
