import { readFileSync } from 'node:fs';
import type { TestPlatform } from './platform.ts';
import { allProcesses, type Seen } from './processes.ts';

/** What can be killed in an installation, by the name an operator gives it. */
export const TARGETS = [
  'control',
  'uaa',
  'logs',
  'cell-0',
  'cell-1',
  'supervisor',
  'router',
  'cell-0-proxy',
  'conmon',
  'app',
  'postgresql',
  'nats',
  'dns',
] as const;
export type Target = (typeof TARGETS)[number];

/** The instances of apps that the machine runs, by the index each was told; `name`: of the app that is called so. */
export function instances(
  platform: TestPlatform,
  words: RegExp,
  name?: string,
): { index: number; guid: string; seen: Seen }[] {
  const all = platform.appProcesses(words);
  const own =
    name === undefined ? all : all.filter((seen) => seen.environment.includes(`"application_name":"${name}"`));
  return own.map((seen) => ({
    index: Number(variable(seen, 'CF_INSTANCE_INDEX')),
    guid: variable(seen, 'CF_INSTANCE_GUID'),
    seen,
  }));
}

/** The processes that stand for a target now: a component's own, or the conmon or the app of the instance with this index. */
export function processesOf(platform: TestPlatform, target: Target, app: RegExp, index: number): number[] {
  const instance = instances(platform, app).find((one) => one.index === index)?.seen;
  if (target === 'app') return instance ? [instance.pid] : [];
  if (target === 'conmon') {
    return conmonOf(instance);
  }
  if (target === 'supervisor') {
    const program = /^\S*node \S*supervisor-main\.ts/;
    return allProcesses()
      .filter((seen) => program.test(seen.arguments) && seen.arguments.includes(platform.data))
      .map(({ pid }) => pid);
  }
  const processes = JSON.parse(readFileSync(platform.layout.processesFile, 'utf8')) as Record<string, { pid: number }>;
  const pid = processes[target]?.pid;
  return pid === undefined ? [] : [pid];
}

/** conmon started the app's first process and is its parent, or that of the shell before it. */
function conmonOf(seen: Seen | undefined): number[] {
  const all = new Map(allProcesses().map((one) => [one.pid, one]));
  for (let one = seen; one; one = all.get(one.parent)) if (/^\S*conmon\s/.test(one.arguments)) return [one.pid];
  return [];
}

/** Of a process's environment; empty where it has none of this name. */
export function variable(seen: Seen, name: string): string {
  return new RegExp(`(?:^|\\0)${name}=([^\\0]*)`).exec(seen.environment)?.[1] ?? '';
}
