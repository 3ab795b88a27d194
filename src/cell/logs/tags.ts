import type { Owner } from '../../contracts/gen/diego_pb.js';

/** Whose line it is: where it goes in the log cache and what is written beside it. */
export interface LogOrigin {
  sourceId: string;
  instanceId: string;
  tags: { [name: string]: string };
}

/** The tags Cloud Foundry puts on what belongs to an app's instance. */
export function originOf(
  owner: Owner | undefined,
  index: number,
  instanceGuid: string,
  sourceType: string,
  cellId: string,
): LogOrigin {
  const instanceId = String(index);
  return {
    sourceId: owner?.appGuid ?? '',
    instanceId,
    tags: {
      source_type: sourceType,
      instance_id: instanceId,
      process_instance_id: instanceGuid,
      process_id: owner?.processGuid ?? '',
      process_type: owner?.processType ?? '',
      app_id: owner?.appGuid ?? '',
      app_name: owner?.appName ?? '',
      space_id: owner?.spaceGuid ?? '',
      space_name: owner?.spaceName ?? '',
      organization_id: owner?.organizationGuid ?? '',
      organization_name: owner?.organizationName ?? '',
      origin: 'rep',
      job: 'cell',
      index: cellId,
    },
  };
}

/** "APP/PROC/WEB". */
export function processSourceType(owner: Owner | undefined): string {
  return `APP/PROC/${(owner?.processType || 'web').toUpperCase()}`;
}

/** "APP/PROC/WEB/SIDECAR/PROXY". */
export function sidecarSourceType(owner: Owner | undefined, name: string): string {
  return `${processSourceType(owner)}/SIDECAR/${name.toUpperCase()}`;
}
