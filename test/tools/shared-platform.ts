import { officialCf } from '../support/official-cf.ts';
import { TestPlatform } from '../support/platform.ts';
import { SHARED_DATA, SHARED_OPTIONS, SHARED_PLACE } from '../support/shared-platform.ts';

/* For Node's test runner, as --test-global-setup: puts up the platform of test/e2e/shared/, and takes it away. */

let platform: TestPlatform | null = null;

/** Nothing where the files are skipped anyway. */
export async function globalSetup(): Promise<void> {
  if (process.getuid?.() !== 0 || officialCf() === null) return;
  platform = new TestPlatform({ ...SHARED_PLACE, options: SHARED_OPTIONS, unpackAhead: true });
  try {
    await platform.up();
  } catch (error) {
    await globalTeardown();
    throw error;
  }
  process.env[SHARED_DATA] = platform.data; // the files' processes inherit it
}

/** The runner calls it once more where it throws, and says nothing of why. */
export async function globalTeardown(): Promise<void> {
  const up = platform;
  platform = null;
  try {
    await up?.remove();
  } catch (error) {
    console.error('the shared platform was not removed:', error);
    throw error;
  }
}
