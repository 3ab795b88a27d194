import { readdirSync, readlinkSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** The files below a directory that this process has open, each as often as it has; unlinked ones too. */
export function openBelow(directory: string): string[] {
  return readdirSync('/proc/self/fd').flatMap((descriptor) => {
    try {
      const path = readlinkSync(`/proc/self/fd/${descriptor}`);
      return path.startsWith(directory) ? [path] : [];
    } catch {
      return []; // it was that of the reading itself
    }
  });
}

/** Collects all garbage, and lets what its finalizers begin come to its end. */
export async function collectGarbage(): Promise<void> {
  setFlagsFromString('--expose-gc');
  const gc: unknown = runInNewContext('gc');
  if (typeof gc !== 'function') throw new Error('this Node.js has no gc');
  for (let time = 0; time < 4; time += 1) {
    gc();
    await setTimeout(20);
  }
}
