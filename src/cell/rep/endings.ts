import { CupolaError, messageOf } from '../../kit/errors.ts';
import { isAboutImage } from '../staging/docker-staging.ts';

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
  if (isAboutImage(error)) return error.message;
  switch (error instanceof CupolaError ? error.code : '') {
    case 'droplet_unknown':
      return 'The app has no droplet';
    case 'droplet_mismatch':
    case 'blob_unavailable':
    case 'archive_cut_off':
      return 'Downloading the droplet failed';
    case 'blob_digest_mismatch':
    case 'blob_too_large':
      return 'The content of the image is not what its digest says';
    case 'layer_too_large':
      return 'The app is larger than its disk quota, or a layer of its image is larger than is allowed';
    case 'layer_too_slow':
      return 'Unpacking the content of the app took too long';
    case 'disk_reserved':
      return 'The platform has no room for more at present';
    case 'archive_refused':
      return 'The content of the app could not be unpacked';
    case 'container_runtime_failed':
      return commandFailure(messageOf(error)) ?? 'Failed to create container';
    default:
      return 'Failed to create container';
  }
}

/** What runc says of a command that cannot be started, where that is what it says. */
function commandFailure(message: string): string | null {
  const [, command, why] =
    /exec: \\?"([^"\\]{1,200})\\?": (?:stat [^:]{1,200}: )?(executable file not found|no such file|permission denied)/.exec(
      message,
    ) ?? [];
  return command === undefined ? null : `Failed to start "${command}": ${why}`;
}

/** As Go writes durations: "1m0.5s", "2.1s". */
export function duration(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 100) / 10;
  const minutes = Math.floor(seconds / 60);
  const rest = `${Math.round((seconds - minutes * 60) * 10) / 10}s`;
  return minutes > 0 ? `${minutes}m${rest}` : rest;
}
