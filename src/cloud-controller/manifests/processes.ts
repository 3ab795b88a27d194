import { HEALTH_CHECK_TYPES } from '../processes/schema.ts';
import type { Fields } from './fields.ts';
import { parseLogRate, parseMegabytes, sizeSentence } from './sizes.ts';

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
  const instances = wholeNumber(fields['instances'], 0, 10_000);
  if (instances === 'bad') say('Instances must be greater than or equal to 0');
  else if (instances !== null) process.instances = instances;
  const memory = megabytes(fields['memory'], 'Memory', say);
  if (memory !== null) process.memoryMb = memory;
  const disk = megabytes(fields['disk_quota'], 'Disk quota', say);
  if (disk !== null) process.diskMb = disk;
  const rate = fields['log_rate_limit_per_second'];
  if (rate !== undefined && rate !== null) {
    const parsed = parseLogRate(String(rate));
    if ('problem' in parsed) say(sizeSentence('Log rate limit per second', parsed.problem));
    else if (parsed.bytes < -1 || parsed.bytes > 2 ** 31 - 1) say('Log rate limit must be greater than or equal to -1');
    else process.logRateLimit = parsed.bytes;
  }
  process.healthCheck = readCheck(fields, 'health_check', say);
  const timeout = wholeNumber(fields['timeout'] ?? fields['health_check_timeout'], 1, 86_400);
  if (timeout === 'bad') say('Timeout must be greater than or equal to 1');
  else if (timeout !== null) process.healthCheck.timeout = timeout;
  process.readinessCheck = readCheck(fields, 'readiness_health_check', say);
  return process;
}

/** Says nothing beside its type. */
export function isTrivial(process: ManifestProcess): boolean {
  const { type: _type, healthCheck, readinessCheck, ...rest } = process;
  return [rest, healthCheck, readinessCheck].every((part) => Object.keys(part).length === 0);
}

function wholeNumber(value: unknown, least: number, most: number): number | 'bad' | null {
  if (value === undefined || value === null) return null;
  const number = typeof value === 'string' && /^\d{1,9}$/.test(value) ? Number(value) : value;
  return typeof number === 'number' && Number.isInteger(number) && number >= least && number <= most ? number : 'bad';
}

/** A size, in MB; null where there is none or it is wrong. */
export function megabytes(value: unknown, label: string, say: (problem: string) => void): number | null {
  if (value === undefined || value === null) return null;
  const parsed = parseMegabytes(String(value));
  if ('problem' in parsed) say(sizeSentence(label, parsed.problem));
  else if (parsed.megabytes < 1 || parsed.megabytes > 2 ** 31 - 1) say(`${label} must be greater than 0MB`);
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
    const value = wholeNumber(fields[`${prefix}_${key}`], 1, 86_400);
    if (value === 'bad') say(`${label} ${key.replace('_', ' ')} must be greater than or equal to 1`);
    else if (value !== null) check[field] = value;
  }
  return check;
}
