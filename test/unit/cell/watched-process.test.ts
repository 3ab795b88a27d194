import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { WatchedProcess } from '../../../src/cell/garden/processes.ts';
import { processFiles } from '../../../src/cell/garden/runtime.ts';
import { identify } from '../../../src/kit/process.ts';

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
