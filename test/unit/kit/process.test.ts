import assert from 'node:assert/strict';
import { test } from 'node:test';
import { run } from '../../../src/kit/process.ts';

test('a process that the kernel does not let end is named, and not waited for without an end', {
  skip: process.getuid?.() === 0 ? false : 'makes a namespace of processes, which needs root',
}, async () => {
  // Nothing ends the first process of a namespace from within.
  const path = JSON.stringify(new URL('../../../src/kit/process.ts', import.meta.url).pathname);
  const program = `import { identify, terminate } from ${path};
    const first = identify(1);
    await terminate(first, 50, 'SIGTERM', 200).catch(({ code }) => console.log(code, first.pid));`;
  const node = `"$0" --input-type=module -e "$1"; :`;
  const said = await run('unshare', ['--pid', '--fork', '--mount-proc', 'sh', '-c', node, process.execPath, program]);
  assert.equal(said, 'process_stuck 1\n');
});
