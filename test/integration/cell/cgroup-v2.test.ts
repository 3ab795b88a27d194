import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Cgroups } from '../../../src/cell/garden/cgroups.ts';
import { run } from '../../../src/kit/process.ts';

const SKIP = process.getuid?.() !== 0 ? 'needs root' : false;
const GROUP = '/cupola-cgroup-test';

/** The kernel's own version 2 tree, mounted aside: on a machine of version 1 it is there too, with fewer controllers. */
describe('control groups of version 2, as this kernel has them', { skip: SKIP }, () => {
  let root: string;
  let cgroups: Cgroups;

  before(async () => {
    root = mkdtempSync('/tmp/cupola-cgroup2-');
    await run('mount', ['-t', 'cgroup2', 'none', root]);
    cgroups = new Cgroups(root);
  });
  after(async () => {
    await cgroups.remove(GROUP);
    await run('umount', [root]);
    rmdirSync(root);
  });

  test('CTR-05: processor time is read, groups are listed and removed with those below them', async () => {
    mkdirSync(join(root, GROUP, '7', 'below'), { recursive: true });
    assert.deepEqual(await cgroups.children(GROUP), ['7']);
    const busy = spawn('sh', ['-c', 'read go; i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done'], {
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    await new Promise((resolve) => busy.once('spawn', resolve));
    writeFileSync(join(root, GROUP, '7', 'cgroup.procs'), String(busy.pid));
    const before = await cgroups.cpuNanoseconds(`${GROUP}/7`);
    busy.stdin.end('go\n');
    await new Promise((resolve) => busy.once('exit', resolve));
    assert.ok((await cgroups.cpuNanoseconds(`${GROUP}/7`)) > before);
    await cgroups.remove(GROUP);
    assert.equal(existsSync(join(root, GROUP)), false);
    assert.deepEqual(await cgroups.children(GROUP), []);
  });

  test('CTR-05: a group that is gone has had no out-of-memory kill', async () => {
    assert.equal(await cgroups.outOfMemoryKills(`${GROUP}/gone`), 0);
  });
});
