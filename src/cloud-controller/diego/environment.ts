import type { AppIdentity } from '../apps/store.ts';
import { vcapApplication } from '../apps/vcap-application.ts';

/** The part of it that a rename changes. */
export type AppNames = Pick<AppIdentity, 'appName' | 'spaceName' | 'organizationName'>;

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
}

/** The variables a running process starts with, besides those the cell adds (PORT, CF_INSTANCE_*, the stack's LANG). */
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

function merged(
  input: EnvironmentInput,
  application: Record<string, unknown>,
  own: Record<string, string>,
): Record<string, string> {
  return {
    ...input.group,
    ...input.variables,
    VCAP_APPLICATION: JSON.stringify(application),
    VCAP_SERVICES: JSON.stringify(input.services),
    ...own,
  };
}
