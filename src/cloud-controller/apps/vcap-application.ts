import { type Static, Type } from 'typebox';
import type { AppIdentity } from './store.ts';

/** What an app's process may open; the cell sets the same. */
export const FILE_DESCRIPTORS = 16_384;

const Names = Type.Array(Type.String());
const Limit = Type.Optional(Type.Integer());

export const VcapApplication = Type.Object({
  cf_api: Type.String(),
  limits: Type.Object({ fds: Limit, mem: Limit, disk: Limit }),
  application_name: Type.String(),
  application_uris: Names,
  name: Type.String(),
  space_name: Type.String(),
  space_id: Type.String(),
  organization_id: Type.String(),
  organization_name: Type.String(),
  uris: Names,
  users: Type.Null(),
  application_id: Type.String(),
});

interface Input {
  app: AppIdentity;
  /** "https://api.example.org". */
  apiUrl: string;
  /** Hosts with paths of the routes mapped to it. */
  uris: readonly string[];
  memoryMb?: number;
  diskMb?: number;
  fileDescriptors?: number;
}

/** VCAP_APPLICATION as `cf env` and every app sees it. */
export function vcapApplication(input: Input): Static<typeof VcapApplication> {
  const { app } = input;
  return {
    cf_api: input.apiUrl,
    limits: {
      ...(input.fileDescriptors === undefined ? {} : { fds: input.fileDescriptors }),
      ...(input.memoryMb === undefined ? {} : { mem: input.memoryMb }),
      ...(input.diskMb === undefined ? {} : { disk: input.diskMb }),
    },
    application_name: app.appName,
    application_uris: [...input.uris],
    name: app.appName,
    space_name: app.spaceName,
    space_id: app.spaceGuid,
    organization_id: app.organizationGuid,
    organization_name: app.organizationName,
    uris: [...input.uris],
    users: null,
    application_id: app.appGuid,
  };
}
