import type { MessageInitShape } from '@bufbuild/protobuf';
import type { Owner, OwnerNames } from './gen/diego_pb.js';
import type { EnvelopeSchema } from './gen/loggregator_pb.js';

export type EnvelopeInit = MessageInitShape<typeof EnvelopeSchema>;

/** Whose a line is: an app's, and of one of its processes where there is one. */
export type LogOwner = Partial<Omit<Owner, '$typeName' | '$unknown'>>;

/** What a rename changes. */
export type LogNames = Pick<OwnerNames, 'appName' | 'spaceName' | 'organizationName'>;

/** Who writes a line, in Cloud Foundry's words. */
export interface LogSource {
  /** As clients show it: "APP/PROC/WEB", "RTR", "API", … */
  type: string;
  origin: 'rep' | 'gorouter' | 'cloud_controller' | 'ssh-proxy';
  job: 'cell' | 'router' | 'api' | 'ssh-proxy';
  /** Which one of several. */
  index: string;
}

/** The app's instance that a line is about. */
export interface LogInstance {
  index: number;
  guid: string;
}

/** Where lines go in the log cache and what is written beside them. */
export interface LogOrigin {
  sourceId: string;
  /** Shown behind the type of the source: "RTR/0". */
  instanceId: string;
  tags: { [name: string]: string };
}

/**
 * Of all lines that one writer has of one owner. `instance` is null for lines about the app as a whole; `instanceId` is that of
 * the app unless the writer counts itself.
 */
export function originOf(
  owner: LogOwner | undefined,
  source: LogSource,
  instance: LogInstance | null,
  instanceId = String(instance?.index ?? 0),
): LogOrigin {
  const { type, origin, job, index } = source;
  const ofInstance: Record<string, string> = instance
    ? { instance_id: String(instance.index), process_instance_id: instance.guid }
    : {};
  return {
    sourceId: owner?.appGuid ?? '',
    instanceId,
    tags: { source_type: type, ...ofInstance, ...ownerTags(owner), origin, job, index },
  };
}

/** What is written from now on carries these names; what waits to be sent keeps those it was written with. */
export function renameOrigin(origin: LogOrigin, names: LogNames): void {
  origin.tags = { ...origin.tags, ...nameTags(names) };
}

/** The time of an envelope, of milliseconds since 1970. */
export function nanosecondsOf(milliseconds: number): bigint {
  return BigInt(milliseconds) * 1_000_000n;
}

/** One line. */
export function logEnvelope(origin: LogOrigin, timestampNs: bigint, payload: Uint8Array, stderr = false): EnvelopeInit {
  return { ...origin, timestampNs, message: { case: 'log', value: { payload, stderr } } };
}

/** Measurements of an app's instance at one time. */
export function gaugeEnvelope(
  origin: LogOrigin,
  timestampNs: bigint,
  metrics: Record<string, { unit: string; value: number }>,
): EnvelopeInit {
  return { ...origin, timestampNs, message: { case: 'gauge', value: { metrics } } };
}

/** The tags under which an app's envelopes are found, whoever writes them; empty where something is not known. */
function ownerTags(owner: LogOwner | undefined): Record<string, string> {
  return {
    app_id: owner?.appGuid ?? '',
    space_id: owner?.spaceGuid ?? '',
    organization_id: owner?.organizationGuid ?? '',
    ...nameTags(owner),
    process_id: owner?.processGuid ?? '',
    process_type: owner?.processType ?? '',
  };
}

function nameTags(names: Partial<LogNames> | undefined): Record<string, string> {
  return {
    app_name: names?.appName ?? '',
    space_name: names?.spaceName ?? '',
    organization_name: names?.organizationName ?? '',
  };
}
