import { readFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { type Finding, findingsOf } from './finding.ts';

const { ok, warn, fail } = findingsOf('limits');

/** Descriptors, processes, watches and memory. `root` stands before /proc. */
export function limitFindings(root = '/', memoryBytes = totalmem()): Finding[] {
  const read = (path: string): string => {
    try {
      return readFileSync(join(root, path), 'utf8').trim();
    } catch {
      return '';
    }
  };
  const hard = /^Max open files\s+\S+\s+(\S+)/m.exec(read('proc/self/limits'))?.[1] ?? '0';
  const descriptors = hard === 'unlimited' ? Number.POSITIVE_INFINITY : Number(hard);
  const most = (name: string, value: number, least: number, low: number, key: string): Finding => {
    const found = value === Number.POSITIVE_INFINITY ? 'unlimited' : String(value);
    if (value >= low) return ok(name, found);
    const advice = key === '' ? `raise the hard limit to ${low} or more` : `sysctl ${key}=${low}`;
    return value >= least ? warn(name, found, advice) : fail(name, found, advice);
  };
  const gibibytes = Math.round((memoryBytes / 2 ** 30) * 10) / 10;
  return [
    most('open files (hard limit)', descriptors, 1024, 16_384, ''),
    most('open files of the machine', Number(read('proc/sys/fs/file-max')), 10_000, 100_000, 'fs.file-max'),
    most('process numbers', Number(read('proc/sys/kernel/pid_max')), 4_096, 32_768, 'kernel.pid_max'),
    most('threads', Number(read('proc/sys/kernel/threads-max')), 2_000, 10_000, 'kernel.threads-max'),
    most(
      'inotify instances',
      Number(read('proc/sys/fs/inotify/max_user_instances')),
      16,
      128,
      'fs.inotify.max_user_instances',
    ),
    most(
      'inotify watches',
      Number(read('proc/sys/fs/inotify/max_user_watches')),
      1_024,
      8_192,
      'fs.inotify.max_user_watches',
    ),
    gibibytes >= 2
      ? ok('memory', `${gibibytes} GiB`)
      : warn('memory', `${gibibytes} GiB`, 'the platform takes about 0.5 GiB and staging 1 GiB: use 2 GiB or more'),
  ];
}
