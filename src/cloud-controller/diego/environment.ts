/** Whose environment it is. */
export interface AppIdentity {
  appGuid: string;
  appName: string;
  spaceGuid: string;
  spaceName: string;
  organizationGuid: string;
  organizationName: string;
}

export interface EnvironmentInput {
  app: AppIdentity;
  /** "https://api.example.org". */
  apiUrl: string;
  /** Hosts with paths of the routes mapped to it. */
  uris: readonly string[];
  /** The foundation's running or staging variables; the app's own come over them. */
  group: Readonly<Record<string, string>>;
  variables: Readonly<Record<string, string>>;
  /** What VCAP_SERVICES holds. */
  services: Readonly<Record<string, unknown>>;
  memoryMb: number;
  diskMb: number;
  fileDescriptors: number;
  /** A container image brings a locale of its own. */
  ofImage?: boolean;
}

/** The variables a running process starts with, besides those the cell adds (PORT, CF_INSTANCE_*). */
export function runningEnvironment(
  input: EnvironmentInput & { processGuid: string; processType: string; version: string },
): Record<string, string> {
  const application = {
    ...vcapApplication(input),
    process_id: input.processGuid,
    process_type: input.processType,
    version: input.version,
    application_version: input.version,
  };
  return merged(input, application, { MEMORY_LIMIT: `${input.memoryMb}m` });
}

/** The variables a staging container starts with. */
export function stagingEnvironment(input: EnvironmentInput & { stack: string }): Record<string, string> {
  return merged(input, vcapApplication(input), { CF_STACK: input.stack, MEMORY_LIMIT: `${input.memoryMb}m` });
}

/** VCAP_APPLICATION as `cf env` and every app sees it. */
export function vcapApplication(
  input: Pick<EnvironmentInput, 'app' | 'apiUrl' | 'uris'> &
    Partial<Pick<EnvironmentInput, 'memoryMb' | 'diskMb' | 'fileDescriptors'>>,
): Record<string, unknown> {
  const { app } = input;
  return {
    cf_api: input.apiUrl,
    limits: {
      ...(input.fileDescriptors === undefined ? {} : { fds: input.fileDescriptors }),
      ...(input.memoryMb === undefined ? {} : { mem: input.memoryMb }),
      ...(input.diskMb === undefined ? {} : { disk: input.diskMb }),
    },
    application_name: app.appName,
    application_uris: input.uris,
    name: app.appName,
    space_name: app.spaceName,
    space_id: app.spaceGuid,
    organization_id: app.organizationGuid,
    organization_name: app.organizationName,
    uris: input.uris,
    users: null,
    application_id: app.appGuid,
  };
}

function merged(
  input: EnvironmentInput,
  application: Record<string, unknown>,
  own: Record<string, string>,
): Record<string, string> {
  return {
    ...input.group,
    ...input.variables,
    ...(input.ofImage ? {} : { LANG: input.variables['LANG'] ?? input.group['LANG'] ?? 'en_US.UTF-8' }),
    VCAP_APPLICATION: JSON.stringify(application),
    VCAP_SERVICES: JSON.stringify(input.services),
    ...own,
  };
}
