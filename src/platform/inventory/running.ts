import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isPrintable } from '../../kit/printable.ts';

/** Which of these trees stand in the place of /usr for a process that runs, each with the names of those processes. Ones that end meanwhile are not told. */
export function usersOf(roots: readonly string[]): Map<string, string[]> {
  const trees = new Map(roots.map((root) => [identityOf(join(root, 'usr')), root]));
  const users = new Map<string, string[]>();
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const root = trees.get(identityOf(`/proc/${pid}/root/usr`));
    if (root === undefined) continue;
    const name = nameOf(pid);
    if (name !== undefined) users.set(root, [...(users.get(root) ?? []), name]);
  }
  return users;
}

function identityOf(path: string): string | undefined {
  // What a container has there may be a link, which would lead to the machine's own.
  const found = attempt(() => lstatSync(path));
  return found && `${found.dev}:${found.ino}`;
}

/** What its program is called, if that can be shown; of a kernel's thread, and of what ended, nothing. */
function nameOf(pid: string): string | undefined {
  const name = attempt(() => readFileSync(`/proc/${pid}/comm`, 'utf8').trim());
  return name === undefined || isPrintable(name) ? name : 'a program without a name';
}

/** Undefined where it is gone. */
function attempt<Value>(look: () => Value): Value | undefined {
  try {
    return look();
  } catch {
    return undefined;
  }
}
