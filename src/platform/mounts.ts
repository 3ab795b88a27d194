import { mkdirSync, rmdirSync, statSync } from 'node:fs';
import { mountOptions, mountsBelow } from '../cell/garden/mounts.ts';
import { run } from '../kit/process.ts';

/**
 * Shows a directory at a place other accounts can walk to; nothing if it is shown there already, as it is to be. Whoever is killed
 * between the two steps leaves a mount without its options, which the next one gives it.
 */
export async function bindMount(source: string, target: string, mode: 'read-only' | 'read-write'): Promise<void> {
  const wanted = [...(mode === 'read-only' ? ['ro'] : []), 'nosuid', 'nodev'];
  mkdirSync(target, { recursive: true });
  // What the list of mounts says may be covered by another mount.
  const before = isSame(source, target) ? mountOptions(target) : null;
  if (before !== null && wanted.every((option) => before.includes(option))) return;
  if (before === null) await run('mount', ['--bind', source, target]);
  await run('mount', ['-o', ['remount', 'bind', ...wanted].join(','), target]);
}

function isSame(one: string, other: string): boolean {
  const [first, second] = [statSync(one), statSync(other)];
  return first.dev === second.dev && first.ino === second.ino;
}

/** Takes away what is shown below `directory` but for `keep`; what a process still uses stays for the next time. */
export async function unmountOthers(directory: string, keep: string): Promise<void> {
  for (const path of mountsBelow(directory).filter((one) => one !== keep)) {
    try {
      await run('umount', [path]);
      rmdirSync(path);
    } catch {
      // In use.
    }
  }
}
