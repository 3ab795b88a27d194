import type { Owner } from '../../contracts/gen/diego_pb.js';
import { type LogOrigin, originOf } from '../../contracts/log-envelopes.ts';

/** Of what a cell writes about an instance or a task. */
export function cellOrigin(
  owner: Owner | undefined,
  instance: { index: number; guid: string },
  sourceType: string,
  cellId: string,
): LogOrigin {
  return originOf(owner, { type: sourceType, origin: 'rep', job: 'cell', index: cellId }, instance);
}

/** "APP/PROC/WEB". */
export function processSourceType(owner: Owner | undefined): string {
  return `APP/PROC/${(owner?.processType || 'web').toUpperCase()}`;
}

/** "APP/PROC/WEB/SIDECAR/PROXY". */
export function sidecarSourceType(owner: Owner | undefined, name: string): string {
  return `${processSourceType(owner)}/SIDECAR/${name.toUpperCase()}`;
}
