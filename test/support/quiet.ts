import { existsSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { run } from '../../src/kit/process.ts';

const LOOK_MS = 100;
const SYNC_MS = 60_000;

/** For a file that is to run alone: resolves once no other file of this run does, and what they wrote is on the disk. */
export async function quiet(): Promise<void> {
  const isQuiet = process.env['CUPOLA_TEST_QUIET'];
  while (isQuiet !== undefined && !existsSync(isQuiet)) await pause(LOOK_MS);
  await run('sync', [], { timeoutMs: SYNC_MS });
}
