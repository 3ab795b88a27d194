import { type Static, type TSchema, Type } from 'typebox';
import { UpdateApp } from '../apps/schema.ts';
import { checkVariables } from '../apps/variables.ts';
import { CfError } from '../errors.ts';
import { LifecycleInput } from '../lifecycle.ts';
import { MetadataInput, newMetadata } from '../metadata.ts';
import { ProcessType, ScaleProcess, UpdateProcess } from '../processes/schema.ts';
import { CreateSidecar } from '../sidecars/schema.ts';
import { bodyReader } from '../validation.ts';
import type { ManifestApp, ManifestSidecar } from './app.ts';
import type { ManifestHealthCheck, ManifestProcess } from './processes.ts';

/*
 * What a manifest asks for, as bodies of the API's own operations: what is applied is these bodies, and what the operations
 * would not take of them no manifest may bring.
 */

export type LifecycleData = NonNullable<Static<typeof LifecycleInput>['data']>;

/** Of the app's lifecycle. */
export function lifecycleData({ buildpacks, stack }: ManifestApp): LifecycleData {
  return { ...(buildpacks ? { buildpacks } : {}), ...(stack === undefined ? {} : { stack }) };
}

/** Of `PATCH /v3/processes/:guid`. */
export function processChange(wanted: ManifestProcess): Static<typeof UpdateProcess> {
  const health = checkBody(wanted.healthCheck);
  const readiness = checkBody(wanted.readinessCheck);
  return {
    ...(wanted.command === undefined ? {} : { command: wanted.command }),
    ...(health ? { health_check: health } : {}),
    ...(readiness ? { readiness_health_check: readiness } : {}),
  };
}

/** Of `POST /v3/processes/:guid/actions/scale`. */
export function processScale(wanted: ManifestProcess): Static<typeof ScaleProcess> {
  return {
    ...(wanted.instances === undefined ? {} : { instances: wanted.instances }),
    ...(wanted.memoryMb === undefined ? {} : { memory_in_mb: wanted.memoryMb }),
    ...(wanted.diskMb === undefined ? {} : { disk_in_mb: wanted.diskMb }),
    ...(wanted.logRateLimit === undefined ? {} : { log_rate_limit_in_bytes_per_second: wanted.logRateLimit }),
  };
}

/** Of `POST /v3/apps/:guid/sidecars`. */
export function sidecarBody({ name, command, processTypes, memoryMb }: ManifestSidecar): Static<typeof CreateSidecar> {
  return { name, command, process_types: processTypes, memory_in_mb: memoryMb };
}

/** What the operations would say to what an app of a manifest asks for, in their words. */
export function bodyProblems(app: ManifestApp): string[] {
  const { metadata, env } = app;
  return [
    ...told(UpdateApp, { name: app.name }),
    ...told(LifecycleInput.properties.data, lifecycleData(app)),
    ...(metadata ? [...told(MetadataInput, metadata), ...refusals(() => newMetadata(metadata))] : []),
    ...(env ? refusals(() => checkVariables(env)) : []),
    ...app.processes.flatMap((process) =>
      [
        ...told(OfType, { type: process.type }),
        ...told(UpdateProcess, processChange(process)),
        ...told(ScaleProcess, processScale(process)),
      ].map((problem) => `Process "${process.type}": ${problem}`),
    ),
    ...app.sidecars.flatMap((sidecar) =>
      told(CreateSidecar, sidecarBody(sidecar)).map((problem) => `Sidecar "${sidecar.name}": ${problem}`),
    ),
  ];
}

const OfType = Type.Object({ type: ProcessType });
const readers = new Map<TSchema, (body: unknown) => unknown>();

function told(schema: TSchema, body: unknown): string[] {
  const read = readers.get(schema) ?? bodyReader(schema);
  readers.set(schema, read);
  return refusals(() => read(body));
}

function refusals(check: () => unknown): string[] {
  try {
    check();
    return [];
  } catch (error) {
    if (error instanceof CfError) return [error.detail];
    throw error;
  }
}

function checkBody(check: ManifestHealthCheck) {
  const { type, endpoint, timeout, invocationTimeout, interval } = check;
  const data = {
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(timeout === undefined ? {} : { timeout }),
    ...(invocationTimeout === undefined ? {} : { invocation_timeout: invocationTimeout }),
    ...(interval === undefined ? {} : { interval }),
  };
  if (type === undefined && Object.keys(data).length === 0) return null;
  return { ...(type === undefined ? {} : { type }), data };
}
