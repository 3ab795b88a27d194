import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { Cgroups } from '../../../src/cell/garden/cgroups.ts';

async function withTree(files: Record<string, string>, body: (cgroups: Cgroups, root: string) => Promise<void>) {
  const root = await mkdtemp(join(tmpdir(), 'garden-cgroups-'));
  try {
    for (const [name, text] of Object.entries(files)) {
      await mkdir(dirname(join(root, name)), { recursive: true });
      await writeFile(join(root, name), text);
    }
    await body(new Cgroups(root), root);
  } finally {
    await rm(root, { recursive: true });
  }
}

test('CTR-05: version 1, a tree for each controller', () =>
  withTree(
    {
      'cpuacct/p/1/cpuacct.usage': '12345\n',
      'memory/memory.memsw.limit_in_bytes': '',
      'memory/p/1/memory.usage_in_bytes': '9000\n',
      'memory/p/1/memory.stat': 'cache 5000\ninactive_file 1\ntotal_inactive_file 4000\n',
      'memory/p/1/memory.oom_control': 'oom_kill_disable 0\nunder_oom 0\noom_kill 3\n',
    },
    async (cgroups) => {
      assert.equal(await cgroups.cpuNanoseconds('/p/1'), 12345n);
      assert.equal(await cgroups.memoryBytes('/p/1'), 5000);
      assert.equal(await cgroups.outOfMemoryKills('/p/1'), 3);
      assert.equal(await cgroups.outOfMemoryKills('/p/2'), 0);
      assert.equal(cgroups.limitsSwap, true);
      assert.deepEqual(await cgroups.children('/p'), ['1']);
    },
  ));

test('CTR-05: version 2, one tree for all', () =>
  withTree(
    {
      'cgroup.controllers': 'cpu memory pids\n',
      'p/1/cpu.stat': 'usage_usec 12\nuser_usec 10\n',
      'p/1/memory.current': '9000\n',
      'p/1/memory.stat': 'anon 5000\ninactive_file 4000\n',
      'p/1/memory.events': 'low 0\nhigh 0\nmax 7\noom 2\noom_kill 1\noom_group_kill 0\n',
    },
    async (cgroups) => {
      assert.equal(await cgroups.cpuNanoseconds('/p/1'), 12_000n);
      assert.equal(await cgroups.memoryBytes('/p/1'), 5000);
      assert.equal(await cgroups.outOfMemoryKills('/p/1'), 1);
      assert.equal(cgroups.limitsSwap, true);
      assert.deepEqual(await cgroups.children('/p'), ['1']);
    },
  ));

test('who cannot see whether others are left looks again, and does not take it for none', () =>
  withTree({ 'pids/p/1/pids.max': '100\n' }, async (cgroups, root) => {
    const list = join(root, 'pids/p/1/cgroup.procs');
    await mkdir(list); // reading it fails, of whatever account
    await assert.rejects(cgroups.killOthers('/p/1', 1), { code: 'processes_left' });
    const killing = cgroups.killOthers('/p/1', 1);
    setTimeout(() => {
      rmdirSync(list);
      writeFileSync(list, '1\n');
    }, 30);
    await killing;
    assert.equal(await readFile(join(root, 'pids/p/1/pids.max'), 'utf8'), '100');
  }));

test('SECURITY 32: a group ends with whatever is left in it, in each tree, and is removed', () =>
  withTree({ 'pids/p/1/cgroup.procs': '', 'memory/p/1/below/cgroup.procs': '' }, async (cgroups, root) => {
    // Like the kernel: a group is empty once its process is gone, and its files keep no one from removing it.
    const left = ['pids/p/1', 'memory/p/1/below'].map((group) => {
      const child = spawn('sleep', ['60']);
      const list = join(root, group, 'cgroup.procs');
      writeFileSync(list, `${child.pid}\n`);
      return once(child, 'exit').then(([, signal]) => {
        rmSync(list);
        return signal;
      });
    });
    await cgroups.end('/p/1');
    assert.deepEqual(await Promise.all(left), ['SIGKILL', 'SIGKILL']);
    assert.deepEqual(await cgroups.children('/p'), []);
  }));
