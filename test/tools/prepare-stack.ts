/** Builds the stack the container tests run on, in the directory given, unless it is there by this checkout's recipe. */
import { chmodSync, mkdirSync } from 'node:fs';
import { ensureStack, removeOldStacks } from '../../src/cell/stack/stack.ts';
import { phases } from '../../src/cli/up/phases.ts';
import { Logger } from '../../src/kit/log.ts';

const NAME = 'debian12';
/** Checkouts of other versions use the directory too. */
const KEPT_UNUSED_MS = 14 * 24 * 60 * 60_000;

const directory = process.argv[2]!;
mkdirSync(directory, { recursive: true });
chmodSync(directory, 0o700); // else it is copied, and not shared
const stack = await ensureStack({
  directory,
  name: NAME,
  log: new Logger('stack', {}, () => {}),
  onProgress: phases(console.log),
});
for (const old of await removeOldStacks(directory, NAME, KEPT_UNUSED_MS))
  console.log(`removed ${old}, which nobody used`);
console.log(`${stack.name} ${stack.version} in ${stack.rootfs}`);
