import { isRecord } from '../../kit/json.ts';
import type { DropletSidecar } from '../droplets/store.ts';

/** What staging gave, as the lifecycle reports it. */
export interface StagingResult {
  detectedBuildpack: string;
  buildpacks: { key: string; name: string; ownName: string; version: string }[];
  processTypes: Record<string, string>;
  executionMetadata: string;
  sidecars: DropletSidecar[];
  droplet: { sha256: string; bytes: number };
  cache: { sha256: string; bytes: number } | null;
}

type Fields = Record<string, unknown>;

const fieldsOf = (value: unknown): Fields => (isRecord(value) ? value : {});
const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');

/** What staging an image gave. */
export interface ImageStagingResult {
  /** By its digest. */
  image: string;
  processTypes: Record<string, string>;
  executionMetadata: string;
}

/** As `readStagingResult`, of an image. */
export function readImageResult(json: string): ImageStagingResult | null {
  const parsed = parse(json);
  const image = fieldsOf(parsed?.['lifecycle_metadata'])['docker_image'];
  const processTypes = processTypesOf(parsed?.['process_types']);
  if (parsed?.['lifecycle_type'] !== 'docker' || !processTypes) return null;
  if (typeof image !== 'string' || !/^\S{1,1024}@sha256:[0-9a-f]{64}$/.test(image)) return null;
  return { image, processTypes, executionMetadata: textOf(parsed['execution_metadata']) };
}

/** Null where the result is not what a lifecycle writes; a cell is not believed blindly. */
export function readStagingResult(json: string): StagingResult | null {
  const parsed = parse(json);
  const metadata = fieldsOf(parsed?.['lifecycle_metadata']);
  const droplet = blobOf(parsed?.['droplet']);
  const processTypes = processTypesOf(parsed?.['process_types']);
  if (!parsed || !droplet || !processTypes) return null;
  const buildpacks = Array.isArray(metadata['buildpacks']) ? metadata['buildpacks'].map(fieldsOf) : [];
  return {
    detectedBuildpack: textOf(metadata['detected_buildpack']),
    buildpacks: buildpacks.map((item) => ({
      key: textOf(item['key']),
      name: textOf(item['name']),
      ownName: textOf(item['own_name']),
      version: textOf(item['version']),
    })),
    processTypes,
    executionMetadata: textOf(parsed['execution_metadata']),
    sidecars: Array.isArray(parsed['sidecars']) ? parsed['sidecars'].flatMap(sidecarOf).slice(0, 100) : [],
    droplet,
    cache: blobOf(parsed['cache']),
  };
}

/** None where it is not what a lifecycle writes. */
function sidecarOf(value: unknown): DropletSidecar[] {
  const { name, command, process_types: types, memory_in_mb: memory } = fieldsOf(value);
  if (typeof name !== 'string' || !name || name.length > 255) return [];
  if (typeof command !== 'string' || !command || command.length > 4096) return [];
  if (!Array.isArray(types) || types.length === 0 || !types.every((type) => typeof type === 'string')) return [];
  const memoryMb = Number.isSafeInteger(memory) && Number(memory) > 0 ? Number(memory) : null;
  return [{ name, command, process_types: types, memory_mb: memoryMb }];
}

function parse(json: string): Fields | null {
  try {
    return fieldsOf(JSON.parse(json));
  } catch {
    return null;
  }
}

function processTypesOf(value: unknown): Record<string, string> | null {
  const types = Object.entries(fieldsOf(value));
  if (types.length > 100 || types.some(([name, command]) => !name || typeof command !== 'string')) return null;
  return Object.fromEntries(types.map(([name, command]) => [name, String(command)]));
}

function blobOf(value: unknown): { sha256: string; bytes: number } | null {
  const { sha256, bytes } = fieldsOf(value);
  const known = typeof sha256 === 'string' && /^[0-9a-f]{64}$/.test(sha256) && Number.isSafeInteger(bytes);
  return known ? { sha256, bytes: bytes as number } : null;
}

/** Sentences of the v3 API for the codes a failed staging carries. */
const STAGING_ERRORS: ReadonlyMap<string, string> = new Map(
  Object.entries({
    NoAppDetectedError: 'An app was not successfully detected by any available buildpack',
    BuildpackCompileFailed: 'App staging failed in the buildpack compile phase',
    BuildpackReleaseFailed: 'App staging failed in the buildpack release phase',
    StagingTimeExpired: 'Staging time expired',
    InsufficientResources: 'Insufficient resources',
    StagerError: 'Stager error',
    StagingError: 'Staging error',
  }),
);

/** "NoAppDetectedError: no buildpack fits" → "NoAppDetectedError - An app was not …", as `build.error` says it. */
export function stagingError(failureReason: string): { code: string; description: string } {
  const [, code = '', detail = ''] = /^(\w+):?\s*([\s\S]*)$/.exec(failureReason) ?? [];
  const sentence = STAGING_ERRORS.get(code);
  if (!sentence) return { code: 'StagingError', description: `Staging error: ${failureReason.slice(0, 500)}` };
  const generic = code === 'StagingError' || code === 'StagerError';
  return { code, description: generic && detail ? `${sentence}: ${detail.slice(0, 500)}` : sentence };
}
