import { type RawBuilder, type Selectable, sql } from 'kysely';
import { type Static, Type } from 'typebox';
import { type Database, type Locked, now, type Trx } from './database.ts';
import type { MetadataColumns, Texts } from './metadata-columns.ts';

export type { MetadataColumns };

import { type CfError, unprocessable } from './errors.ts';

/** Labels (searchable, short) and annotations (free text) of a resource; in a request null removes a key. */
const Changes = Type.Record(Type.String(), Type.Union([Type.String(), Type.Null()]));
export const MetadataInput = Type.Object(
  { labels: Type.Optional(Changes), annotations: Type.Optional(Changes) },
  { additionalProperties: false, nullRefused: true },
);
export type MetadataInput = Static<typeof MetadataInput>;

const MAX_KEYS = 200;
/** Names and values of one resource: a list of many stays an answer that can be given. */
const MAX_CHARACTERS = 64 * 1024;
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
  const after = {
    labels: merged('labels', before.labels, input?.labels),
    annotations: merged('annotations', before.annotations, input?.annotations),
  };
  // What lay there before may be more, and may become less.
  const characters = charactersOf(after);
  if (characters > MAX_CHARACTERS && characters > charactersOf(before)) {
    throw unprocessable(`Metadata of one resource must be at most ${MAX_CHARACTERS} characters in all`);
  }
  return after;
}

function charactersOf({ labels, annotations }: MetadataColumns): number {
  const texts = [labels, annotations].flatMap((part) => Object.entries(part).flat());
  return texts.reduce((sum, text) => sum + text.length, 0);
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

const NO_METADATA: MetadataColumns = { labels: {}, annotations: {} };

type MetadataValues = { labels: RawBuilder<Texts>; annotations: RawBuilder<Texts> };

/** The metadata of a new resource, for an insert. */
export function newMetadata(input: MetadataInput | undefined): MetadataValues {
  return metadataColumns(mergeMetadata(NO_METADATA, input));
}

/** What a request changes of a row's metadata, for its update; nothing where it names none. */
export function changedMetadata(before: Locked<MetadataColumns>, input: MetadataInput | undefined) {
  return input === undefined ? {} : metadataColumns(mergeMetadata(before, input));
}

export type TablesWithMetadata = {
  [Table in keyof Database]: Selectable<Database[Table]> extends MetadataColumns ? Table : never;
}[keyof Database];

/** Changes the metadata of a row and nothing else, and gives what is changed. Throws `missing` where the row is gone. */
export async function changeMetadata(
  trx: Trx,
  table: TablesWithMetadata,
  guid: string,
  input: MetadataInput | undefined,
  missing: CfError,
): Promise<MetadataColumns & { updated_at: Date }> {
  const locked = await sql<Locked<MetadataColumns>>`
    SELECT labels, annotations FROM ${sql.table(table)} WHERE guid = ${guid} FOR UPDATE`.execute(trx);
  const [before] = locked.rows;
  if (before === undefined) throw missing;
  const { labels, annotations } = metadataColumns(mergeMetadata(before, input));
  const { rows } = await sql<MetadataColumns & { updated_at: Date }>`
    UPDATE ${sql.table(table)} SET labels = ${labels}, annotations = ${annotations}, updated_at = ${now}
    WHERE guid = ${guid} RETURNING labels, annotations, updated_at`.execute(trx);
  const [row] = rows;
  if (row === undefined) throw missing;
  return row;
}

function metadataColumns(metadata: MetadataColumns): MetadataValues {
  return { labels: jsonb(metadata.labels), annotations: jsonb(metadata.annotations) };
}

/** A value for a jsonb column. */
export function jsonb<T>(value: T): RawBuilder<T> {
  return sql<T>`${JSON.stringify(value)}::jsonb`;
}
