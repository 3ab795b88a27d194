import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { codeOf } from '../../kit/errors.ts';

/** What was killed leaves its group a moment later. */
const MOST_TRIES = 500;
const TRY_MS = 20;
/** Version 1: who comes into a group without them is refused. */
const INHERITED = ['cpuset.cpus', 'cpuset.mems'];

/** By version: what says how much of busy processors a group gets, and what it says unless it is told. */
const WEIGHTS = { cgroup: ['cpu.shares', 1024], cgroup2: ['cpu.weight', 100] } as const;

/** A hierarchy of control groups as it is mounted. */
export interface Hierarchy {
  point: string;
  type: 'cgroup' | 'cgroup2';
  /** Of version 1: "cpu,cpuacct", "name=systemd". */
  options: string;
}

/** Those of a mountinfo file, in the order they were mounted; of several at one place the one that is seen there. */
export function hierarchiesIn(mountinfo: string): Hierarchy[] {
  const found = mountinfo.split('\n').flatMap((line): Hierarchy[] => {
    const [before = '', after = ''] = line.split(' - ');
    const [type, , superOptions = ''] = after.split(' ');
    const point = before.split(' ')[4];
    if ((type !== 'cgroup' && type !== 'cgroup2') || point === undefined) return [];
    const options = superOptions.split(',').filter((option) => option !== 'rw' && option !== 'ro');
    return [{ point, type, options: options.join(',') }];
  });
  return [...new Map(found.map((one) => [one.point, one])).values()];
}

/**
 * Makes a group of this name in every hierarchy; gives the files by which a process enters them. Where processors are busy and their
 * time is given by groups, this one gets `times` as much as another.
 */
export function makeGroups(name: string, times = 1): string[] {
  return hierarchies().map(({ point, type }) => {
    const group = join(point, name);
    mkdirSync(group, { recursive: true });
    const [weight, usual] = WEIGHTS[type];
    if (existsSync(join(group, weight))) writeFileSync(join(group, weight), String(usual * times));
    for (const file of INHERITED) {
      if (existsSync(join(group, file))) writeFileSync(join(group, file), readFileSync(join(point, file)));
    }
    return join(group, 'cgroup.procs');
  });
}

/** Removes the groups that `makeGroups` made, and all below them, once the last process in them is gone. */
export async function removeGroups(name: string): Promise<void> {
  for (const { point } of hierarchies()) await removeLeft(join(point, name));
}

/** Seconds of processor time that the group and all that ever was below it has taken; null where nothing counts them. */
export function processorSecondsOf(name: string): number | null {
  for (const { point, type, options } of hierarchies()) {
    const group = join(point, name);
    if (options.split(',').includes('cpuacct')) return Number(readFileSync(join(group, 'cpuacct.usage'), 'utf8')) / 1e9;
    if (type !== 'cgroup2' || !existsSync(join(group, 'cpu.stat'))) continue;
    const [, microseconds] = /^usage_usec (\d+)$/m.exec(readFileSync(join(group, 'cpu.stat'), 'utf8')) ?? [];
    if (microseconds !== undefined) return Number(microseconds) / 1e6;
  }
  return null;
}

/** The names of groups that begin like this, in any hierarchy. */
export function groupsOfRuns(prefix: string): string[] {
  const all = hierarchies().flatMap(({ point }) => readdirSync(point).filter((entry) => entry.startsWith(prefix)));
  return [...new Set(all)];
}

async function removeLeft(group: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      return removeTree(group);
    } catch (error) {
      if (codeOf(error) !== 'EBUSY' || tries >= MOST_TRIES) throw error;
      await pause(TRY_MS);
    }
  }
}

function hierarchies(): Hierarchy[] {
  return hierarchiesIn(readFileSync('/proc/self/mountinfo', 'utf8'));
}

function removeTree(directory: string): void {
  if (!existsSync(directory)) return;
  for (const entry of readdirSync(directory, { withFileTypes: true }))
    if (entry.isDirectory()) removeTree(join(directory, entry.name));
  rmdirSync(directory);
}
