import { mkdirSync, readFileSync } from 'node:fs';
import { run } from '../kit/process.ts';

/** Mount points under a directory, deepest first. */
export function mountsUnder(directory: string): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4]?.replaceAll('\\040', ' ') ?? '')
    .filter((point) => point === directory || point.startsWith(`${directory}/`))
    .sort((a, b) => b.length - a.length);
}

/** Shows a directory at a place other accounts can walk to; nothing if it is shown there already. */
export async function bindMount(source: string, target: string, mode: 'read-only' | 'read-write'): Promise<void> {
  mkdirSync(target, { recursive: true });
  if (mountsUnder(target).includes(target)) return;
  await run('mount', ['--bind', source, target]);
  const options = mode === 'read-only' ? 'remount,bind,ro,nosuid,nodev' : 'remount,bind,nosuid,nodev';
  await run('mount', ['-o', options, target]);
}
