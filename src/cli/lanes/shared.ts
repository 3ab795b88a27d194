import { dirname } from 'node:path';

/** End-to-end tests there use a platform that others use too: one file after the other, each in an org of its own. */
const SHARED = 'test/e2e/shared';
/** So many platforms are up at once: what is done on one waits more than it computes. */
const PLATFORMS = 2;
/** Puts such a platform up before the first file, and takes it away after the last. */
export const SETUP = 'test/tools/shared-platform.ts';

/** Of a machine their tests have no more than engines of their own: so many short files of one have a machine, one after the other. */
const ROOMS = ['cloud-controller', 'diego', 'loggregator', 'router', 'uaa'].map((room) => `test/integration/${room}`);
const FILES_A_MACHINE = 5;

/** What runs on one machine. */
export interface Lane {
  /** The file's, or what the files have in common. */
  name: string;
  files: readonly string[];
  /** They share a platform. */
  isShared?: boolean;
}

/**
 * Each file in a lane of its own, but those that share a platform in few, about as long as each other by `secondsOf` a file, and short ones
 * of some rooms, for which making a machine takes much of the time.
 */
export function lanesOf(files: readonly string[], secondsOf: (file: string) => number): Lane[] {
  const longestFirst = files.filter(sharesPlatform).toSorted((one, other) => secondsOf(other) - secondsOf(one));
  const platforms = Array.from({ length: Math.min(PLATFORMS, longestFirst.length) }, () => ({
    files: [] as string[],
    seconds: 0,
  }));
  const isShort = (file: string): boolean => ROOMS.includes(dirname(file)) && secondsOf(file) === 0;
  const ofRooms = ROOMS.flatMap((room) =>
    machinesOf(
      room,
      files.filter((file) => dirname(file) === room && isShort(file)),
    ),
  );
  for (const file of longestFirst) {
    const shortest = platforms.reduce((one, other) => (other.seconds < one.seconds ? other : one));
    shortest.files.push(file);
    shortest.seconds += secondsOf(file);
  }
  return [
    ...platforms.map(({ files: own }, at) => ({ name: `${SHARED}, platform ${at + 1}`, files: own, isShared: true })),
    ...files.filter((file) => !sharesPlatform(file) && !isShort(file)).map((file) => ({ name: file, files: [file] })),
    ...ofRooms,
  ];
}

function machinesOf(room: string, files: readonly string[]): Lane[] {
  return Array.from({ length: Math.ceil(files.length / FILES_A_MACHINE) }, (_, at) => {
    const own = files.slice(at * FILES_A_MACHINE, (at + 1) * FILES_A_MACHINE);
    return own.length === 1 ? { name: own[0]!, files: own } : { name: `${room}, machine ${at + 1}`, files: own };
  });
}

/** For Node's test runner; `pathOf` a file below the project. */
export function argumentsFor(files: readonly string[], pathOf: (file: string) => string): string[] {
  return [
    ...(files.length > 1 ? ['--test-concurrency=1'] : []),
    ...(files.some(sharesPlatform) ? [`--test-global-setup=${pathOf(SETUP)}`] : []),
  ];
}

function sharesPlatform(file: string): boolean {
  return dirname(file) === SHARED;
}
