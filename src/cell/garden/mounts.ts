import { readFileSync } from 'node:fs';
import { MOUNT, mount, unmount } from './kernel.ts';

/** Mount points at or below a directory, the last mounted first. */
export function mountsBelow(directory: string): string[] {
  const points = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .map((point) =>
      point.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8))),
    );
  return points.filter((point) => point === directory || point.startsWith(`${directory}/`)).toReversed();
}

export async function unmountBelow(directory: string): Promise<void> {
  for (const point of mountsBelow(directory)) await unmount(point);
}

/** Makes a directory a mount of its own that shares no mount with other namespaces. Does nothing if it is one. */
export function makePrivateMount(directory: string): void {
  if (!mountsBelow(directory).includes(directory)) mount(directory, directory, 'none', MOUNT.bind, '');
  mount('none', directory, 'none', MOUNT.private, '');
}
