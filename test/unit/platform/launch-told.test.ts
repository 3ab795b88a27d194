import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { isAlive } from '../../../src/kit/process.ts';
import { launch } from '../../../src/platform/components/launch.ts';

test('a process that is started ahead is told what to do when it is time, and hears the end', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'launch-'));
  const logFile = join(directory, 'log');
  const time = Promise.withResolvers<void>();
  try {
    const started = { command: 'cat', args: [], account: null, logFile };
    const process = await launch({ ...started, input: 'now', toldAfter: time.promise });
    await pause(200);
    assert.equal(readFileSync(logFile, 'utf8'), '');
    assert.ok(isAlive(process));
    time.resolve();
    while (isAlive(process)) await pause(10);
    assert.equal(readFileSync(logFile, 'utf8'), 'now');
  } finally {
    rmSync(directory, { recursive: true });
  }
});
