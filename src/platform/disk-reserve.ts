import type { DiskReserve } from '../kit/disk-sizes.ts';
import type { PlatformSettings } from './settings/schema.ts';

const SHARE = 0.05;
const MOST = 4 * 1024 ** 3;

/**
 * What blobs and kept droplets leave free on the disk of the data directory: PostgreSQL lies there and must never meet its end.
 * Unless the operator says otherwise it is 5 % of the disk, at most 4 GiB.
 */
export function diskReserveOf({ storage }: Pick<PlatformSettings, 'storage'>): DiskReserve {
  const megabytes = storage?.reserve;
  return megabytes === undefined ? ({ total }) => Math.min(MOST, total * SHARE) : () => megabytes * 1024 ** 2;
}
