import { type RawBuilder, sql } from 'kysely';
import { type Static, Type } from 'typebox';
import { unprocessable } from './errors.ts';

/** Labels (searchable, short) and annotations (free text) of a resource; in a request null removes a key. */
export const MetadataInput = Type.Object(
  {
    labels: Type.Optional(Type.Record(Type.String(), Type.Union([Type.String(), Type.Null()]))),
    annotations: Type.Optional(Type.Record(Type.String(), Type.Union([Type.String(), Type.Null()]))),
  },
  { additionalProperties: false },
);
export type MetadataInput = Static<typeof MetadataInput>;

export type Texts = Readonly<Record<string, string>>;

/** The two columns every resource with metadata has. */
export interface MetadataColumns {
  labels: Texts;
  annotations: Texts;
}

const MAX_KEYS = 200;
const MAX_ANNOTATION_LENGTH = 5000;
const MAX_NAME_LENGTH = 63;
const MAX_PREFIX_LENGTH = 253;
const NAME = /^[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?$/;
const PREFIX = /^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)+$/;

/** Null when the key is a good one. */
export function labelKeyError(key: string): string | null {
  const parts = key.split('/');
  if (parts.length > 2) return "key has more than one '/'";
  const name = parts.at(-1)!;
  const prefix = parts.length === 2 ? parts[0]! : null;
  const shown = name.slice(0, 8);
  if (name === '') return 'key cannot be empty string';
  if (name.length > MAX_NAME_LENGTH) return `'${shown}...' is greater than 63 characters`;
  if (!/^[\w.-]+$/.test(name)) return `'${name}' contains invalid characters`;
  if (!NAME.test(name)) return `'${name}' starts or ends with invalid characters`;
  if (prefix === null) return null;
  if (prefix.length > MAX_PREFIX_LENGTH) return `prefix '${prefix.slice(0, 8)}...' is greater than 253 characters`;
  if (!PREFIX.test(prefix)) return `prefix '${prefix}' must be in valid dns format`;
  if (prefix.toLowerCase() === 'cloudfoundry.org') return "prefix 'cloudfoundry.org' is reserved";
  return null;
}

/** Null when the value is a good one. */
export function labelValueError(value: string): string | null {
  if (value === '') return null;
  if (value.length > MAX_NAME_LENGTH) return `'${value.slice(0, 8)}...' is greater than 63 characters`;
  if (!/^[\w.-]+$/.test(value)) return `'${value}' contains invalid characters`;
  if (!NAME.test(value)) return `'${value}' starts or ends with invalid characters`;
  return null;
}

/** The metadata a resource has after this request. Throws UnprocessableEntity. */
export function mergeMetadata(before: MetadataColumns, input: MetadataInput | undefined): MetadataColumns {
  const problems: string[] = [];
  for (const [key, value] of Object.entries(input?.labels ?? {})) {
    const keyError = labelKeyError(key);
    const valueError = value === null ? null : labelValueError(value);
    if (keyError !== null) problems.push(`Metadata label key error: ${keyError}`);
    if (valueError !== null) problems.push(`Metadata label value error: ${valueError}`);
  }
  for (const [key, value] of Object.entries(input?.annotations ?? {})) {
    const keyError = value === null ? null : labelKeyError(key);
    if (keyError !== null) problems.push(`Metadata annotation key error: ${keyError}`);
    if ((value?.length ?? 0) > MAX_ANNOTATION_LENGTH) {
      problems.push(`Metadata annotation value error: '${value!.slice(0, 8)}...' is greater than 5000 characters`);
    }
  }
  if (problems.length > 0) throw unprocessable(problems.slice(0, 20).join(', '));
  return {
    labels: merged('labels', before.labels, input?.labels),
    annotations: merged('annotations', before.annotations, input?.annotations),
  };
}

function merged(kind: string, before: Texts, changes: Readonly<Record<string, string | null>> = {}): Texts {
  const after = new Map(Object.entries(before));
  for (const [key, value] of Object.entries(changes)) {
    if (value === null) after.delete(key);
    else after.set(key, value);
  }
  if (after.size > MAX_KEYS) {
    throw unprocessable(`Failed to add ${kind} because it would exceed maximum of ${MAX_KEYS}`);
  }
  return Object.fromEntries(after);
}

export const NO_METADATA: MetadataColumns = { labels: {}, annotations: {} };

/** The metadata of a new resource. */
export function newMetadata(input: MetadataInput | undefined): {
  labels: RawBuilder<Texts>;
  annotations: RawBuilder<Texts>;
} {
  return metadataColumns(mergeMetadata(NO_METADATA, input));
}

/** As values for an insert or update. */
export function metadataColumns(metadata: MetadataColumns): {
  labels: RawBuilder<Texts>;
  annotations: RawBuilder<Texts>;
} {
  return { labels: jsonb(metadata.labels), annotations: jsonb(metadata.annotations) };
}

/** A value for a jsonb column. */
export function jsonb<T>(value: T): RawBuilder<T> {
  return sql<T>`${JSON.stringify(value)}::jsonb`;
}
