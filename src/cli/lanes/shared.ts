import { dirname, join } from 'node:path';

/** The end-to-end tests there use one platform, one file after the other. */
export const SHARED = 'test/e2e/shared';
/** Puts that platform up before the first file, and takes it away after the last. */
const SETUP = 'test/tools/shared-platform.ts';

/** What a file runs under: its own name, or the folder of those that share a platform. */
export function laneOf(file: string): string {
  return dirname(file) === SHARED ? SHARED : file;
}

/** For Node's test runner, with the project in `root`. */
export function argumentsFor(lane: string, root: string): string[] {
  return lane === SHARED ? ['--test-concurrency=1', `--test-global-setup=${join(root, SETUP)}`] : [];
}
