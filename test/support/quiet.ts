import { existsSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

const LOOK_MS = 100;

/** For a file that is to run alone: resolves once no other file of this run does. */
export async function quiet(): Promise<void> {
  const isQuiet = process.env['CUPOLA_TEST_QUIET'];
  while (isQuiet !== undefined && !existsSync(isQuiet)) await pause(LOOK_MS);
}
