import { clone, create, fromJsonString, toJsonString } from '@bufbuild/protobuf';
import {
  type DesiredLrp,
  DesiredLrpSchema,
  DockerImageSchema,
  type Task,
  TaskSchema,
} from '../../contracts/gen/diego_pb.js';
import { BASIC_LOCALE, localeOf } from '../stack/packages.ts';

/** What a container of the rep is for, as it is found again after a restart of the cell. */
export type ContainerPurpose =
  | { kind: 'lrp'; desired: DesiredLrp; index: number; instanceGuid: string }
  | { kind: 'task'; task: Task }
  /** The staging room's, named after the task. */
  | { kind: 'staging' }
  /** To read a stack's certificate store from. */
  | { kind: 'trust' };

const KIND = 'cupola.kind';
const LOCALE = 'cupola.locale';

/**
 * The properties kept beside an instance's container: what watching it takes (owner, ports, health check, limits), and
 * neither environment nor start command nor signed URLs.
 */
export function lrpProperties(desired: DesiredLrp, index: number, instanceGuid: string): Record<string, string> {
  return {
    [KIND]: 'lrp',
    ...(desired.dockerImage ? {} : { [LOCALE]: localeOf(desired.stack) }),
    ...desiredProperties(desired),
    'cupola.index': String(index),
    'cupola.instance': instanceGuid,
  };
}

/** Those of them that may change while it runs. What it stands on stays as it was made, by whatever version. */
export function desiredProperties(desired: DesiredLrp): Record<string, string> {
  const kept = clone(DesiredLrpSchema, desired);
  kept.environment = [];
  kept.startCommand = '';
  for (const sidecar of kept.sidecars) sidecar.command = '';
  kept.annotation = '';
  kept.routes = [];
  kept.egressRules = []; // garden keeps those in force
  if (kept.droplet) kept.droplet.url = '';
  if (kept.dockerImage) kept.dockerImage = create(DockerImageSchema, { reference: kept.dockerImage.reference });
  return { 'cupola.lrp': toJsonString(DesiredLrpSchema, kept) };
}

/** Which locale the stack has that a container stands on. */
export function localeIn({ properties }: { properties: Readonly<Record<string, string>> }): string {
  return properties[LOCALE] ?? BASIC_LOCALE;
}

export function taskProperties(task: Task): Record<string, string> {
  const kept = create(TaskSchema, {
    taskGuid: task.taskGuid,
    domain: task.domain,
    stack: task.stack,
    memoryMb: task.memoryMb,
    diskMb: task.diskMb,
    owner: task.owner,
    createdNs: task.createdNs,
    timeoutSeconds: task.timeoutSeconds,
    ...(task.logRateLimitBytesPerSecond === undefined
      ? {}
      : { logRateLimitBytesPerSecond: task.logRateLimitBytesPerSecond }),
    work:
      task.work.case === 'command'
        ? { case: 'command', value: { droplet: { sha256: task.work.value.droplet?.sha256 ?? '' } } }
        : undefined,
  });
  return { [KIND]: 'task', 'cupola.task': toJsonString(TaskSchema, kept) };
}

/** Null for a container that is none of the rep's own, or whose properties cannot be read. */
export function purposeOf(properties: Readonly<Record<string, string>>): ContainerPurpose | null {
  try {
    if (properties[KIND] === 'lrp') {
      return {
        kind: 'lrp',
        desired: fromJsonString(DesiredLrpSchema, properties['cupola.lrp'] ?? ''),
        index: Number(properties['cupola.index']),
        instanceGuid: properties['cupola.instance'] ?? '',
      };
    }
    if (properties[KIND] === 'task') {
      return { kind: 'task', task: fromJsonString(TaskSchema, properties['cupola.task'] ?? '') };
    }
    if (properties[KIND] === 'trust') return { kind: 'trust' };
    return properties['kind'] === 'staging' ? { kind: 'staging' } : null;
  } catch {
    return null;
  }
}
