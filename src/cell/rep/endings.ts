import { CupolaError } from '../../kit/errors.ts';

/** How the life of an instance or a task's process ends. */
export type Ending =
  | { kind: 'crashed'; reason: string }
  /** Told to. */
  | { kind: 'stopped' }
  /** Somebody else has the work, or nobody wants it any more. */
  | { kind: 'lost' };

/** "APP/PROC/WEB: Exited with status 1 (out of memory)". */
export function exitReason(sourceType: string, exit: { exitCode: number; outOfMemory: boolean }): string {
  return `${sourceType}: Exited with status ${exit.exitCode}${exit.outOfMemory ? ' (out of memory)' : ''}`;
}

/** Why a container did not come up, for its developer: what they can mend is named, the inside of the platform is not. */
export function startFailure(error: unknown): string {
  switch (error instanceof CupolaError ? error.code : '') {
    case 'droplet_unknown':
      return 'The app has no droplet';
    case 'droplet_mismatch':
    case 'blob_unavailable':
      return 'Downloading the droplet failed';
    default:
      return 'Failed to create container';
  }
}

/** As Go writes durations: "1m0.5s", "2.1s". */
export function duration(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 100) / 10;
  const minutes = Math.floor(seconds / 60);
  const rest = `${Math.round((seconds - minutes * 60) * 10) / 10}s`;
  return minutes > 0 ? `${minutes}m${rest}` : rest;
}
