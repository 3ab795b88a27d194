/** Builds the stack the container tests run on, in the directory given, unless it is there. */
import { ensureStack } from '../../src/cell/stack/stack.ts';
import { Logger } from '../../src/kit/log.ts';

const said = new Set<string>();
const stack = await ensureStack({
  directory: process.argv[2]!,
  name: 'debian12',
  log: new Logger('stack', {}, () => {}),
  onProgress: (text) => {
    const verb = text.split(' ')[0]!;
    if (!said.has(verb)) console.log(text);
    said.add(verb);
  },
});
console.log(`${stack.name} ${stack.version} in ${process.argv[2]}`);
