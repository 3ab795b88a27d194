/** Builds the stack the container tests run on, in the directory given, unless it is there with every package it must have. */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { releaseOf } from '../../src/cell/stack/packages.ts';
import { ensureStack } from '../../src/cell/stack/stack.ts';
import { Logger } from '../../src/kit/log.ts';

const NAME = 'debian12';
const directory = process.argv[2]!;
if (isStale()) rmSync(join(directory, NAME), { recursive: true });
const said = new Set<string>();
const stack = await ensureStack({
  directory,
  name: NAME,
  log: new Logger('stack', {}, () => {}),
  onProgress: (text) => {
    const verb = text.split(' ')[0]!;
    if (!said.has(verb)) console.log(text);
    said.add(verb);
  },
});
console.log(`${stack.name} ${stack.version} in ${directory}`);

/** Whether a stack that was kept lacks a package which was added to the list since. */
function isStale(): boolean {
  let status: string;
  try {
    status = readFileSync(join(directory, NAME, 'rootfs/var/lib/dpkg/status'), 'utf8');
  } catch {
    return false; // there is none yet
  }
  const installed = new Set([...status.matchAll(/^Package: (\S+)$/gm)].map(([, name]) => name));
  return releaseOf(NAME)!.packages.some((name) => !installed.has(name));
}
