import type { Settings } from '../context.ts';
import { unprocessable } from '../errors.ts';

/** Throws UnprocessableEntity, in Cloud Foundry's words, where a process would have more disk than any may. */
export function checkDisk({ maximumAppDiskMb }: Pick<Settings, 'maximumAppDiskMb'>, diskMb: number | null | undefined) {
  if (diskMb === null || diskMb === undefined || diskMb <= maximumAppDiskMb) return;
  throw unprocessable(
    `disk_quota too much disk requested (requested ${diskMb} MB - must be less than ${maximumAppDiskMb} MB)`,
  );
}
