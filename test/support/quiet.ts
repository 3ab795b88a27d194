import { existsSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { messageOf } from '../../src/kit/errors.ts';
import { run } from '../../src/kit/process.ts';

/** No run takes as long: the others are waited for without a limit of their own. */
export const MOST_WAIT_MS = 90 * 60_000;
const LOOK_MS = 100;
const SYNC_MS = 60_000;

/**
 * For a file that is to run alone: resolves once no other file of this run does, and what they wrote below `directory` is on the disk;
 * `say` hears where that cannot be waited for.
 */
export async function quiet(directory: string, say: (text: string) => void): Promise<void> {
  const quietFile = process.env['CUPOLA_TEST_QUIET'];
  while (quietFile !== undefined && !existsSync(quietFile)) await pause(LOOK_MS);
  await run('sync', ['--file-system', directory], { timeoutMs: SYNC_MS }).catch((error: unknown) =>
    say(`the disk is not quiet: ${messageOf(error)}`),
  );
}
