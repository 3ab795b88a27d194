import { nameFilter } from './name-filter.ts';
import type { Entry, Range } from './source-log.ts';

/** Why a request was not understood; the message is for the client. */
export class BadReadRequest extends Error {
  override readonly name = 'BadReadRequest';
}

/** Query parameters as they come: once or several times. */
export type Query = Readonly<Record<string, string | string[] | undefined>>;

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 1_000;
/** Of one answer: `limit` is a maximum, and clients go on from the last envelope that they got. */
const MAX_BYTES = 4 * 1024 ** 2;
/** The API's envelope types by number. The cache holds logs and gauges; the others are known and never found. */
const TYPES = ['ANY', 'LOG', 'COUNTER', 'GAUGE', 'TIMER', 'EVENT'];

/** Reads `start_time`, `end_time`, `limit`, `descending`, `envelope_types`, `name_filter`. Throws BadReadRequest. */
export function rangeOf(query: Query): Range {
  const start = integer(query, 'start_time') ?? 0n;
  const end = integer(query, 'end_time') ?? 0n;
  if (end !== 0n && start > end) throw new BadReadRequest(`StartTime (${start}) must be before EndTime (${end})`);
  return {
    start,
    end: end === 0n ? null : end,
    limit: limitOf(query),
    maxBytes: MAX_BYTES,
    descending: flag(query, 'descending'),
    select: selection(query),
  };
}

/**
 * What a read says about its reader, if it follows the log: all before this timestamp was accepted. Clients that follow
 * begin with the newest envelope, then go on from "last accepted + 1" without an end. Null for a reader that does not.
 */
export function followedTo(query: Query, { start, end, limit, descending }: Range): bigint | null {
  if (descending) return limit === 1 ? 0n : null;
  const types = values(query, 'envelope_types').map(typeOf);
  const logs = types.length === 0 || types.includes('LOG') || types.includes('ANY');
  return logs && end === null && (values(query, 'name_filter')[0] ?? '') === '' ? start : null;
}

function limitOf(query: Query): number {
  const limit = integer(query, 'limit') ?? 0n;
  if (limit > MAX_LIMIT) throw new BadReadRequest(`Limit (${limit}) must be ${MAX_LIMIT} or less`);
  if (limit < 0n) throw new BadReadRequest(`Limit (${limit}) must be greater than zero`);
  return limit === 0n ? DEFAULT_LIMIT : Number(limit);
}

function selection(query: Query): Range['select'] {
  const types = new Set(values(query, 'envelope_types').map(typeOf));
  const every = types.size === 0 || types.has('ANY');
  const pattern = values(query, 'name_filter')[0] ?? '';
  const named = pattern === '' ? null : nameFilter(pattern);
  if (pattern !== '' && !named)
    throw new BadReadRequest('Name filter must be a simple expression: names, ".", ".*", "|"');
  return (entry) => {
    if (!every && !types.has(entry.kind)) return null;
    return named ? withMetrics(entry, named) : entry;
  };
}

/** Only metrics have names: log lines are left out where names are asked for. */
function withMetrics(entry: Entry, named: (name: string) => boolean): Entry | null {
  if (entry.kind !== 'GAUGE') return null;
  const metrics = Object.entries(entry.metrics).filter(([name]) => named(name));
  return metrics.length === 0 ? null : { ...entry, metrics: Object.fromEntries(metrics) };
}

function typeOf(value: string): string {
  const name = /^\d$/.test(value) ? TYPES[Number(value)] : value;
  if (name === undefined || !TYPES.includes(name)) throw new BadReadRequest(`${value} is not an envelope type`);
  return name;
}

function flag(query: Query, name: string): boolean {
  const value = values(query, name)[0] ?? 'false';
  if (!['true', 'false', '1', '0', ''].includes(value)) throw new BadReadRequest(`${name} must be true or false`);
  return value === 'true' || value === '1';
}

function integer(query: Query, name: string): bigint | undefined {
  const value = values(query, name)[0];
  if (value === undefined || value === '') return undefined;
  if (!/^-?\d{1,19}$/.test(value)) throw new BadReadRequest(`${name} must be an integer`);
  return BigInt(value);
}

function values(query: Query, name: string): string[] {
  const value = query[name];
  return value === undefined ? [] : Array.isArray(value) ? value : [value];
}
