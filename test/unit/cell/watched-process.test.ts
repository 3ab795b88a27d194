import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { WatchedProcess } from '../../../src/cell/garden/processes.ts';
import { processFiles } from '../../../src/cell/garden/runtime.ts';
import { identify } from '../../../src/kit/process.ts';
import { ROOT } from '../../support/project-files.ts';

test('a process whose end is written while it is looked for ended with what was written', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'watched-'));
  const { exitDirectory } = processFiles(directory);
  mkdirSync(exitDirectory, { recursive: true });
  const conmon = spawn('sleep', ['60']);
  try {
    // Whoever looks into a file that is still being written waits here.
    const unfinished = join(exitDirectory, 'a.unfinished');
    execFileSync('mkfifo', [unfinished]);
    const record = { id: 'p', process: null, conmon: identify(conmon.pid!), outOfMemoryKills: 0 };
    const watched = new WatchedProcess(directory, record, async () => 0);
    for (const name of ['b', 'c']) {
      await delay(50);
      writeFileSync(join(exitDirectory, name), '');
    }
    await delay(50);
    // As conmon does: the name, then its own end.
    writeFileSync(join(exitDirectory, 'd'), '7');
    conmon.kill('SIGKILL');
    await once(conmon, 'exit');
    const writer = openSync(unfinished, 'w');
    unlinkSync(unfinished);
    closeSync(writer);
    assert.deepEqual(await watched.exit, { exitCode: 7, outOfMemory: false });
  } finally {
    conmon.kill('SIGKILL');
    rmSync(directory, { recursive: true });
  }
});

test('who can look at no process for want of descriptors takes none for ended', () => {
  const directory = mkdtempSync(join(tmpdir(), 'watched-'));
  const script = `
    import { spawn } from 'node:child_process';
    import { closeSync, mkdirSync, openSync, renameSync, writeFileSync } from 'node:fs';
    import { setTimeout as delay } from 'node:timers/promises';
    import { WatchedProcess } from ${JSON.stringify(join(ROOT, 'src/cell/garden/processes.ts'))};
    import { processFiles } from ${JSON.stringify(join(ROOT, 'src/cell/garden/runtime.ts'))};
    import { identify } from ${JSON.stringify(join(ROOT, 'src/kit/process.ts'))};
    const { exitDirectory } = processFiles(${JSON.stringify(directory)});
    mkdirSync(exitDirectory, { recursive: true });
    writeFileSync(exitDirectory + '/a', '');
    const conmon = spawn('sleep', ['60']);
    const record = { id: 'p', process: null, conmon: identify(conmon.pid), outOfMemoryKills: 0 };
    const watched = new WatchedProcess(${JSON.stringify(directory)}, record, async () => 0);
    await delay(50);
    const taken = [];
    try { for (;;) taken.push(openSync('/dev/null')); } catch (error) { console.log(error.code); }
    renameSync(exitDirectory + '/a', exitDirectory + '/b'); // a reason to look
    await delay(100);
    for (const descriptor of taken) closeSync(descriptor);
    writeFileSync(exitDirectory + '/p', '7');
    console.log(await watched.exit);
    conmon.kill('SIGKILL');`;
  const words = ['-c', 'ulimit -n 100; exec "$0" --input-type=module-typescript -e "$1"', process.execPath, script];
  const { stdout, stderr } = spawnSync('bash', words, { encoding: 'utf8' });
  rmSync(directory, { recursive: true });
  assert.equal(stderr, '');
  assert.equal(stdout, 'EMFILE\n{ exitCode: 7, outOfMemory: false }\n');
});
