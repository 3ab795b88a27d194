import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { codeOf } from '../../kit/errors.ts';

const ROOT = '/sys/fs/cgroup';

/**
 * What a group's processes get of busy processors together, against each other and against the 1024 of a cell's containers: first what every
 * request comes through, then the roles, each as much as any other: whichever is flooded has no more than those that wait. Containers flood the
 * name servers, which then have no more than they (decision 0036).
 */
const SHARES = { front: 4096, control: 2048, database: 2048, uaa: 2048, logs: 2048, cells: 1024, names: 1024 } as const;
type Group = keyof typeof SHARES;
const GROUPS = Object.keys(SHARES) as Group[];

/** What the kernel gives a group that nobody says anything of, by version. */
const USUAL = { v1: 1024, v2: 100 };

/** What was killed leaves its group a moment later. */
const MOST_TRIES = 100;
const TRY_MS = 20;

/** Of a component, by its name. */
function groupOf(name: string): Group {
  if (name === 'postgresql') return 'database';
  if (name === 'uaa' || name === 'logs') return name;
  if (name === 'dns' || name === 'dns-containers') return 'names';
  if (['control', 'brain', 'routing', 'ssh', 'nats'].includes(name)) return 'control';
  return /^cell-\d+$/.test(name) ? 'cells' : 'front';
}

/** The control groups by which an installation's processes share the processors, in either version. */
export class ProcessorGroups {
  readonly #id: string;
  readonly #root: string;
  readonly #proc: string;
  readonly #unified: boolean;

  constructor(id: string, root = ROOT, proc = '/proc') {
    this.#id = id;
    this.#unified = existsSync(join(root, 'cgroup.controllers'));
    this.#root = this.#unified ? root : join(root, 'cpu');
    this.#proc = proc;
  }

  /** Makes them, or sets again what they weigh. Throws where the machine gives no groups of processors. */
  make(): void {
    if (this.#unified) writeFileSync(join(this.#root, 'cgroup.subtree_control'), '+cpu');
    for (const group of GROUPS) {
      const directory = this.#directory(group);
      if (!existsSync(directory)) mkdirSync(directory);
      const shares = SHARES[group];
      if (this.#unified) {
        writeFileSync(join(directory, 'cpu.weight'), String(Math.round((shares * USUAL.v2) / USUAL.v1)));
      } else writeFileSync(join(directory, 'cpu.shares'), String(shares));
    }
  }

  /** Puts a component's process, with what it has started of the same name, where it belongs. Fine if it ended. */
  place(name: string, pid: number): void {
    const group = groupOf(name);
    // Each connection has a process, which may have begun before the first was placed. What a cell starts is the containers'.
    const children = group === 'database' ? this.#childrenOf(pid) : [];
    for (const one of [pid, ...children]) if (!this.#isIn(group, one)) this.#move(group, one);
  }

  /** Takes them away once the last process has left; those that somebody is in stay. */
  async remove(): Promise<void> {
    await Promise.all(GROUPS.map((group) => removeLeft(this.#directory(group))));
  }

  #name(group: Group): string {
    return `cupola-${this.#id}-${group}`;
  }

  #directory(group: Group): string {
    return join(this.#root, this.#name(group));
  }

  #isIn(group: Group, pid: number): boolean {
    return this.#read(`${pid}/cgroup`)
      .split('\n')
      .some((line) => {
        const [number = '', controllers = '', path = ''] = line.split(':');
        const ours = this.#unified ? number === '0' : controllers.split(',').includes('cpu');
        return ours && path.endsWith(`/${this.#name(group)}`);
      });
  }

  #move(group: Group, pid: number): void {
    try {
      writeFileSync(join(this.#directory(group), 'cgroup.procs'), String(pid));
    } catch (error) {
      if (codeOf(error) !== 'ESRCH') throw error;
    }
  }

  #childrenOf(pid: number): number[] {
    return this.#read(`${pid}/task/${pid}/children`)
      .split(' ')
      .map(Number)
      .filter((child) => child > 0);
  }

  /** Nothing where it ended. */
  #read(path: string): string {
    try {
      return readFileSync(join(this.#proc, path), 'utf8');
    } catch (error) {
      if (!['ENOENT', 'ESRCH'].includes(codeOf(error) ?? '')) throw error;
      return '';
    }
  }
}

async function removeLeft(directory: string): Promise<void> {
  for (let tries = 0; tries < MOST_TRIES && existsSync(directory); tries++) {
    try {
      return rmdirSync(directory);
    } catch (error) {
      if (codeOf(error) !== 'EBUSY') throw error;
      await pause(TRY_MS);
    }
  }
}
