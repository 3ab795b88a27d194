import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { CupolaError, codeOf } from '../../kit/errors.ts';

const ROOT = '/sys/fs/cgroup';
/** The v1 tree that holds a group within a container: its limit on processes holds below it too. */
const TREE_OF_GROUPS = 'pids';
const KILL_PAUSE_MS = 5;
const KILL_ATTEMPTS = 400;

/** Reads a container's control groups in either layout: v1 (one tree a controller) or v2 (one tree). */
export class Cgroups {
  readonly #root: string;
  readonly #unified: boolean;

  constructor(root = ROOT) {
    this.#root = root;
    this.#unified = existsSync(join(root, 'cgroup.controllers'));
  }

  /** Whether a memory limit may also name memory and swap together. */
  get limitsSwap(): boolean {
    return this.#unified || existsSync(join(this.#root, 'memory/memory.memsw.limit_in_bytes'));
  }

  /** Processor time used since the group was made. */
  async cpuNanoseconds(path: string): Promise<bigint> {
    if (!this.#unified) return BigInt((await this.#read('cpuacct', path, 'cpuacct.usage')).trim());
    return BigInt(field(await this.#read('', path, 'cpu.stat'), 'usage_usec')) * 1000n;
  }

  /** Memory in use without the part of the file cache that the kernel takes back first. */
  async memoryBytes(path: string): Promise<number> {
    const [usage, statistics] = await Promise.all([
      this.#read('memory', path, this.#unified ? 'memory.current' : 'memory.usage_in_bytes'),
      this.#read('memory', path, 'memory.stat'),
    ]);
    const inactive = field(statistics, this.#unified ? 'inactive_file' : 'total_inactive_file');
    return Math.max(0, Number(usage) - Number(inactive));
  }

  /** How often the kernel killed a process for the memory limit; 0 where the group is gone. */
  async outOfMemoryKills(path: string): Promise<number> {
    try {
      const text = await this.#read('memory', path, this.#unified ? 'memory.events' : 'memory.oom_control');
      return Number(field(text, 'oom_kill'));
    } catch {
      return 0;
    }
  }

  /** Removes a group and those below it in every tree, as far as no process is in them. */
  async remove(path: string): Promise<void> {
    await Promise.all((await this.#inTrees(path)).map(removeTree));
  }

  /**
   * The same, once it has killed what is left in them: runc that was killed while it made a container leaves a process that no state of it
   * names. What does not end within seconds stays.
   */
  async end(path: string): Promise<void> {
    await Promise.all((await this.#inTrees(path)).map(endTree));
  }

  async #inTrees(path: string): Promise<string[]> {
    const trees = this.#unified ? [''] : await readdir(this.#root);
    return trees.map((tree) => join(this.#root, tree, path));
  }

  /** Makes a group within a container's, for `runc exec --cgroup`; gives how runc names it. */
  async createBelow(container: string, name: string): Promise<string> {
    await mkdir(join(this.#root, this.#tree, container, name));
    return this.#unified ? name : `${TREE_OF_GROUPS}:${name}`;
  }

  /** Kills every process of a group within a container's, whatever they start meanwhile, and removes it. */
  async kill(path: string): Promise<void> {
    const directory = join(this.#root, this.#tree, path);
    if (!existsSync(directory)) return;
    // From now on nothing in it can start another.
    await writeFile(join(directory, 'pids.max'), '0').catch(() => {});
    await endTree(directory);
  }

  /**
   * Kills every process of a container's group but its first, whatever they start meanwhile. Others may be started in it afterwards.
   * Throws `processes_left` where one does not end, or none can be seen.
   */
  async killOthers(path: string, first: number): Promise<void> {
    const directory = join(this.#root, this.#tree, path);
    const limit = join(directory, 'pids.max');
    const allowed = await readFile(limit, 'utf8');
    await writeFile(limit, '0');
    try {
      for (let attempt = 0; attempt < KILL_ATTEMPTS; attempt++) {
        const others = (await processesOf(directory))?.filter((pid) => pid !== first);
        if (others?.length === 0) return;
        for (const pid of others ?? []) kill(pid);
        await pause(KILL_PAUSE_MS);
      }
    } finally {
      await writeFile(limit, allowed.trim());
    }
    throw new CupolaError('processes_left', 'processes of a container did not end');
  }

  get #tree(): string {
    return this.#unified ? '' : TREE_OF_GROUPS;
  }

  /** Names of the groups directly below. */
  async children(path: string): Promise<string[]> {
    const trees = this.#unified ? [''] : await readdir(this.#root);
    const found = new Set<string>();
    for (const tree of trees) for (const name of await directories(join(this.#root, tree, path))) found.add(name);
    return [...found];
  }

  #read(controller: string, path: string, file: string): Promise<string> {
    return readFile(join(this.#root, this.#unified ? '' : controller, path, file), 'utf8');
  }
}

/** Null where they cannot be seen just now: with no free descriptor, say. */
async function processesOf(directory: string): Promise<number[] | null> {
  const text = await readFile(join(directory, 'cgroup.procs'), 'utf8').catch((error: unknown) =>
    codeOf(error) === 'ENOENT' || codeOf(error) === 'ENODEV' ? '' : null,
  ); // '' where the group is gone
  if (text === null) return null;
  return text
    .split('\n')
    .map(Number)
    .filter((pid) => pid > 0);
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // it ended just now
  }
}

async function directories(path: string): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
}

async function removeTree(path: string): Promise<void> {
  for (const name of await directories(path)) await removeTree(join(path, name));
  await rmdir(path).catch(() => {}); // not there, or in use: the caller's next look finds it
}

async function endTree(path: string): Promise<void> {
  for (let attempt = 0; attempt < KILL_ATTEMPTS; attempt++) {
    await removeTree(path);
    if (!existsSync(path)) return;
    await killTree(path);
    await pause(KILL_PAUSE_MS);
  }
}

async function killTree(path: string): Promise<void> {
  for (const name of await directories(path)) await killTree(join(path, name));
  for (const pid of (await processesOf(path)) ?? []) kill(pid);
}

/** The number after `name ` in a "name value" file; 0 where the kernel does not report it. */
function field(text: string, name: string): string {
  for (const line of text.split('\n')) {
    const [key, value] = line.split(' ');
    if (key === name && value) return value;
  }
  return '0';
}
