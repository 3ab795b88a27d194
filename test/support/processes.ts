import { readdirSync, readFileSync } from 'node:fs';

/** One process of the machine as /proc shows it. */
export interface Seen {
  pid: number;
  parent: number;
  uid: number;
  arguments: string;
  environment: string;
}

/** All processes but kernel threads; those that end while we read are left out. */
export function allProcesses(): Seen[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const status = readFileSync(`/proc/${name}/status`, 'utf8');
        const seen: Seen = {
          pid: Number(name),
          parent: Number(/^PPid:\s+(\d+)/m.exec(status)![1]),
          uid: Number(/^Uid:\s+(\d+)/m.exec(status)![1]),
          arguments: readFileSync(`/proc/${name}/cmdline`, 'latin1').replaceAll('\0', ' ').trim(),
          environment: readFileSync(`/proc/${name}/environ`, 'latin1'),
        };
        return seen.arguments === '' ? [] : [seen];
      } catch {
        return [];
      }
    });
}

/** Those with one of `roots` as themselves or as an ancestor. */
export function familyOf(roots: readonly number[], all: readonly Seen[]): Seen[] {
  const family = new Set(roots);
  for (let size = -1; size !== family.size; ) {
    size = family.size;
    for (const { pid, parent } of all) if (family.has(parent)) family.add(pid);
  }
  return all.filter(({ pid }) => family.has(pid));
}
