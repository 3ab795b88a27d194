import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { ProcessorGroups } from '../../../src/platform/host/processor-groups.ts';

const scratch = mkdtempSync(join(tmpdir(), 'cupola-processor-groups-'));
after(() => rmSync(scratch, { recursive: true }));

/** Directories as the kernel shows control groups and processes, but for what it does with what is written. */
function machine(name: string, files: Record<string, string>) {
  const root = join(scratch, name);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  const read = (path: string): string | null => {
    const file = join(root, path);
    return existsSync(file) ? readFileSync(file, 'utf8') : null;
  };
  return { root, read, groups: new ProcessorGroups('abc', join(root, 'groups'), join(root, 'proc')) };
}

test('ARCH-12: version 1: what every request comes through weighs most, and roles the same', () => {
  const { groups, read } = machine('weights-v1', { 'groups/cpu/cgroup.procs': '' });
  groups.make();
  const shares = (group: string): number => Number(read(`groups/cpu/cupola-abc-${group}/cpu.shares`));
  assert.deepEqual(
    ['front', 'control', 'database', 'uaa', 'logs', 'cells', 'names'].map(shares),
    [4096, 2048, 2048, 2048, 2048, 1024, 1024],
  );
});

test('ARCH-12: version 2: the same ratios, and the controller is asked for', () => {
  const { groups, read } = machine('weights-v2', { 'groups/cgroup.controllers': 'cpu memory pids\n' });
  groups.make();
  const weight = (group: string): number => Number(read(`groups/cupola-abc-${group}/cpu.weight`));
  assert.deepEqual(
    ['front', 'control', 'database', 'uaa', 'logs', 'cells', 'names'].map(weight),
    [400, 200, 200, 200, 200, 100, 100],
  );
  assert.equal(read('groups/cgroup.subtree_control'), '+cpu');
});

for (const [version, root, lineOf] of [
  ['1', 'groups/cpu', (path: string) => `4:cpu,cpuacct:${path}\n1:memory:/\n`],
  ['2', 'groups', (path: string) => `0::${path}\n`],
] as const) {
  test(`ARCH-12: version ${version}: each component's process is put where it belongs, and no other of a cell`, () => {
    const pids = {
      router: 11,
      'cell-0-proxy': 12,
      'dns-containers': 13,
      control: 14,
      ssh: 15,
      uaa: 16,
      logs: 17,
      'cell-0': 18,
    };
    const processes = Object.values(pids).flatMap((pid) => [
      [`proc/${pid}/cgroup`, lineOf('/user.slice')],
      [`proc/${pid}/task/${pid}/children`, '91 92 '],
    ]);
    const { groups, read } = machine(`places-v${version}`, {
      ...(version === '2' ? { 'groups/cgroup.controllers': 'cpu\n' } : { 'groups/cpu/cgroup.procs': '' }),
      ...Object.fromEntries(processes),
    });
    groups.make();
    const groupFor = (name: string, pid: number): string[] => {
      groups.place(name, pid);
      const groupsOfIt = readdirSync(join(scratch, `places-v${version}`, root)).filter((group) => {
        const file = `${root}/${group}/cgroup.procs`;
        return group.startsWith('cupola-') && read(file) === String(pid);
      });
      return groupsOfIt;
    };
    const found = Object.entries(pids).map(([name, pid]) => [name, groupFor(name, pid)]);
    assert.deepEqual(Object.fromEntries(found), {
      router: ['cupola-abc-front'],
      'cell-0-proxy': ['cupola-abc-front'],
      'dns-containers': ['cupola-abc-names'],
      control: ['cupola-abc-control'],
      ssh: ['cupola-abc-control'],
      uaa: ['cupola-abc-uaa'],
      logs: ['cupola-abc-logs'],
      'cell-0': ['cupola-abc-cells'],
    });
  });

  test(`ARCH-12: version ${version}: one that is there already is not moved, nor one that has ended`, () => {
    const { groups, read } = machine(`stays-v${version}`, {
      ...(version === '2' ? { 'groups/cgroup.controllers': 'cpu\n' } : { 'groups/cpu/cgroup.procs': '' }),
      'proc/21/cgroup': lineOf('/cupola-abc-uaa'),
    });
    groups.make();
    groups.place('uaa', 21);
    assert.equal(read(`${root}/cupola-abc-uaa/cgroup.procs`), null);
  });
}

test('ARCH-12: a machine that gives no groups of processors is named, and nothing is to be removed', async () => {
  const { groups } = machine('without', { 'groups/memory/tasks': '' });
  assert.throws(() => groups.make(), /ENOENT/);
  await groups.remove();
});
