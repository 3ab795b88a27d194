import { mkdirSync, rmdirSync } from 'node:fs';
import { mountsBelow } from '../cell/garden/mounts.ts';
import { run } from '../kit/process.ts';

/** Shows a directory at a place other accounts can walk to; nothing if it is shown there already. */
export async function bindMount(source: string, target: string, mode: 'read-only' | 'read-write'): Promise<void> {
  mkdirSync(target, { recursive: true });
  if (mountsBelow(target).includes(target)) return;
  await run('mount', ['--bind', source, target]);
  const options = mode === 'read-only' ? 'remount,bind,ro,nosuid,nodev' : 'remount,bind,nosuid,nodev';
  await run('mount', ['-o', options, target]);
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
