import { HEALTH_CHECK_TYPES } from '../processes/schema.ts';
import type { Fields } from './fields.ts';
import { parseLogRate, parseMegabytes, sizeSentence } from './sizes.ts';

interface Bounds {
  least: number;
  most: number;
}
const LARGEST = 2 ** 31 - 1;
const SECONDS: Bounds = { least: 1, most: 86_400 };

export interface ManifestProcess {
  type: string;
  /** null: what the buildpack says. */
  command?: string | null;
  instances?: number;
  memoryMb?: number;
  diskMb?: number;
  logRateLimit?: number;
  healthCheck: ManifestHealthCheck;
  readinessCheck: ManifestHealthCheck;
}

export interface ManifestHealthCheck {
  type?: (typeof HEALTH_CHECK_TYPES)[number];
  endpoint?: string;
  timeout?: number;
  invocationTimeout?: number;
  interval?: number;
}

/**
 * Reads what a manifest says of a process, of its own in the list of processes or at the app's level for the web process.
 * `say` takes each problem.
 */
export function readProcess(
  fields: Fields,
  type: string,
  listed: boolean,
  say: (problem: string) => void,
): ManifestProcess {
  const process: ManifestProcess = { type, healthCheck: {}, readinessCheck: {} };
  if (fields['command'] !== undefined) {
    const command = fields['command'];
    if (command === null || command === 'null' || command === 'default') process.command = null;
    else if (typeof command === 'string' && command !== '' && command.length <= 4096) process.command = command;
    else say('Command must be between 1 and 4096 characters');
  }
  // Containers run as one user; another one would be dropped without a word.
  if (listed && (fields['user'] ?? 'vcap') !== 'vcap') say("User must be 'vcap'");
  const instances = wholeNumber(fields['instances'], 'Instances', { least: 0, most: 10_000 }, say);
  if (instances !== null) process.instances = instances;
  const memory = megabytes(fields['memory'], 'Memory', say);
  if (memory !== null) process.memoryMb = memory;
  const disk = megabytes(fields['disk_quota'], 'Disk quota', say);
  if (disk !== null) process.diskMb = disk;
  const rate = fields['log_rate_limit_per_second'];
  if (rate !== undefined && rate !== null) {
    const parsed = parseLogRate(String(rate));
    if ('problem' in parsed) say(sizeSentence('Log rate limit per second', parsed.problem));
    else if (withinBounds(parsed.bytes, 'Log rate limit', { least: -1, most: LARGEST }, say)) {
      process.logRateLimit = parsed.bytes;
    }
  }
  process.healthCheck = readCheck(fields, 'health_check', say);
  const timeout = wholeNumber(fields['timeout'] ?? fields['health_check_timeout'], 'Timeout', SECONDS, say);
  if (timeout !== null) process.healthCheck.timeout = timeout;
  process.readinessCheck = readCheck(fields, 'readiness_health_check', say);
  return process;
}

/** Says nothing beside its type. */
export function isTrivial(process: ManifestProcess): boolean {
  const { type: _type, healthCheck, readinessCheck, ...rest } = process;
  return [rest, healthCheck, readinessCheck].every((part) => Object.keys(part).length === 0);
}

/** A whole number within bounds, which may be written as text; null where there is none or it is wrong. */
function wholeNumber(value: unknown, label: string, bounds: Bounds, say: (problem: string) => void): number | null {
  if (value === undefined || value === null) return null;
  const number = typeof value === 'string' && /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : value;
  if (typeof number !== 'number' || Number.isNaN(number)) say(`${label} is not a number`);
  else if (Number.isFinite(number) && !Number.isInteger(number)) say(`${label} must be an integer`);
  else if (withinBounds(number, label, bounds, say)) return number;
  return null;
}

/** Says at which end a number is out of bounds. */
function withinBounds(number: number, label: string, { least, most }: Bounds, say: (problem: string) => void): boolean {
  if (number < least) say(`${label} must be greater than or equal to ${least}`);
  else if (number > most) say(`${label} must be less than or equal to ${most}`);
  else return true;
  return false;
}

/** A size, in MB; null where there is none or it is wrong. */
export function megabytes(value: unknown, label: string, say: (problem: string) => void): number | null {
  if (value === undefined || value === null) return null;
  const parsed = parseMegabytes(String(value));
  if ('problem' in parsed) say(sizeSentence(label, parsed.problem));
  else if (parsed.megabytes < 1) say(`${label} must be greater than 0MB`);
  else if (parsed.megabytes > LARGEST) say(`${label} must be less than or equal to ${LARGEST}MB`);
  else return parsed.megabytes;
  return null;
}

function readCheck(fields: Fields, prefix: string, say: (problem: string) => void): ManifestHealthCheck {
  const check: ManifestHealthCheck = {};
  const label = prefix === 'health_check' ? 'Health check' : 'Readiness health check';
  const type = fields[`${prefix}_type`] === 'none' ? 'process' : fields[`${prefix}_type`];
  if (type !== undefined && type !== null) {
    const known = HEALTH_CHECK_TYPES.find((name) => name === type);
    if (known) check.type = known;
    else say(`${label} type must be "port", "process", or "http"`);
  }
  const endpoint = fields[`${prefix}_http_endpoint`];
  if (endpoint !== undefined && endpoint !== null) {
    if (typeof endpoint === 'string' && /^\/[^\s]{0,254}$/.test(endpoint)) check.endpoint = endpoint;
    else say(`${label} HTTP endpoint must be a valid URI path`);
  }
  for (const [key, field] of [
    ['invocation_timeout', 'invocationTimeout'],
    ['interval', 'interval'],
  ] as const) {
    const value = wholeNumber(fields[`${prefix}_${key}`], `${label} ${key.replace('_', ' ')}`, SECONDS, say);
    if (value !== null) check[field] = value;
  }
  return check;
}
