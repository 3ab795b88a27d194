import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { after, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { ProcessorGroups } from '../../../src/platform/host/processor-groups.ts';

const UNIFIED = existsSync('/sys/fs/cgroup/cgroup.controllers');
const PLACE = UNIFIED ? '/sys/fs/cgroup' : '/sys/fs/cgroup/cpu';
const SKIP =
  process.getuid?.() !== 0 ? 'needs root' : existsSync(PLACE) ? false : 'this machine gives no groups of processors';
const GROUPS = ['front', 'control', 'database', 'uaa', 'logs', 'cells', 'names'].map((group) => `cupola-zzg-${group}`);

function groupOf(pid: number): string {
  const line = readFileSync(`/proc/${pid}/cgroup`, 'utf8')
    .split('\n')
    .find((one) => (UNIFIED ? one.startsWith('0::') : one.split(':')[1]?.split(',').includes('cpu')));
  return line!.slice(line!.lastIndexOf(':') + 1);
}

describe('groups of processors, as this kernel has them', { skip: SKIP }, () => {
  const groups = new ProcessorGroups('zzg');
  const started: ChildProcess[] = [];
  const start = async (): Promise<number> => {
    const child = spawn('sh', ['-c', 'sleep 60 & wait'], { stdio: 'ignore', detached: true });
    started.push(child);
    await once(child, 'spawn');
    while (childrenOf(child.pid!).length === 0) await pause(5);
    return child.pid!;
  };
  const childrenOf = (pid: number): number[] =>
    readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').map(Number).filter(Boolean);
  const endAll = async (): Promise<void> => {
    for (const child of started.splice(0)) {
      const ended = once(child, 'exit');
      process.kill(-child.pid!, 'SIGKILL');
      await ended;
    }
  };
  after(async () => {
    await endAll();
    await groups.remove();
  });

  test('ARCH-12: they weigh what they are to weigh, also once another has changed that', () => {
    const file = UNIFIED ? 'cpu.weight' : 'cpu.shares';
    const weights = (): number[] => GROUPS.map((group) => Number(readFileSync(`${PLACE}/${group}/${file}`, 'utf8')));
    const wanted = UNIFIED ? [400, 200, 200, 200, 200, 100, 100] : [4096, 2048, 2048, 2048, 2048, 1024, 1024];
    groups.make();
    assert.deepEqual(weights(), wanted);
    writeFileSync(`${PLACE}/${GROUPS[0]}/${file}`, '7');
    groups.make();
    assert.deepEqual(weights(), wanted);
  });

  test('ARCH-12: a process is in its group, the database with its connections, and what a cell has started stays where it is', async () => {
    groups.make();
    const [database, cell] = [await start(), await start()];
    const apart = groupOf(cell);
    groups.place('postgresql', database);
    groups.place('cell-0', cell);
    assert.match(groupOf(database), /\/cupola-zzg-database$/);
    assert.match(groupOf(childrenOf(database)[0]!), /\/cupola-zzg-database$/);
    assert.match(groupOf(cell), /\/cupola-zzg-cells$/);
    assert.equal(groupOf(childrenOf(cell)[0]!), apart);
  });

  test('ARCH-12: none is left once its processes have ended', async () => {
    groups.make();
    groups.place('router', await start());
    const removed = groups.remove();
    await endAll();
    await removed;
    assert.deepEqual(
      GROUPS.filter((group) => existsSync(`${PLACE}/${group}`)),
      [],
    );
  });
});
