import { isDeepStrictEqual } from 'node:util';
import { isRecord } from '../../kit/json.ts';
import { type Fields, underscored } from './fields.ts';
import { formatBytes, parseLogRate, parseMegabytes } from './sizes.ts';
import type { ManifestDifference } from './view.ts';

/** Which field tells the items of a list apart. */
const IDENTITY: Readonly<Record<string, string>> = { processes: 'type', routes: 'route', sidecars: 'name' };

const APP_KEYS = new Set(
  (
    'name buildpack buildpacks stack lifecycle docker env processes routes no_route random_route default_route ' +
    'services sidecars metadata features command instances memory disk_quota log_rate_limit_per_second timeout ' +
    'health_check_type health_check_http_endpoint health_check_invocation_timeout health_check_interval ' +
    'readiness_health_check_type readiness_health_check_http_endpoint readiness_health_check_invocation_timeout ' +
    'readiness_health_check_interval'
  ).split(' '),
);

/**
 * What applying `wanted` (the manifest's own spelling, one entry an app) would change. `existing` gives the app's manifest
 * as the platform has it, null where there is no such app. Only keys the manifest names are compared.
 */
export function diffManifest(
  wanted: readonly Fields[],
  existing: (name: string) => Fields | null,
): ManifestDifference[] {
  return wanted.flatMap((app, index) => {
    const before = flatten(existing(String(app['name'])) ?? {});
    return Object.entries(app)
      .filter(([key]) => APP_KEYS.has(key.replaceAll('-', '_')))
      .flatMap(([key, value]) => {
        const was = before[key.replaceAll('-', '_')];
        // Sizes of an app that has none yet, and sizes at the app's level, have never been shown.
        if (key === 'memory' || key === 'disk_quota' || key === 'disk-quota') return [];
        return differences(`/applications/${index}/${key}`, key, normalize(key, was), normalize(key, value));
      });
  });
}

/** The web process's settings also stand at the app's level, where most manifests write them. */
function flatten(app: Fields): Fields {
  const processes = Array.isArray(app['processes']) ? app['processes'].filter(isRecord) : [];
  const { type: _type, ...web } = processes.find((process) => process['type'] === 'web') ?? {};
  return { ...underscored(web), ...underscored(app) };
}

function normalize(key: string, value: unknown): unknown {
  const identity = IDENTITY[key];
  if (identity && Array.isArray(value)) return value.map((item) => (isRecord(item) ? normalizeItem(item) : item));
  return normalizeSize(key, value);
}

function normalizeItem(item: Fields): Fields {
  return Object.fromEntries(Object.entries(item).map(([key, value]) => [key, normalizeSize(key, value)]));
}

function normalizeSize(key: string, value: unknown): unknown {
  if (typeof value !== 'string' && typeof value !== 'number') return value;
  const name = key.replaceAll('-', '_');
  if (name === 'memory' || name === 'disk_quota') {
    const parsed = parseMegabytes(String(value));
    return 'megabytes' in parsed && Number.isSafeInteger(parsed.megabytes) ? `${parsed.megabytes}M` : value;
  }
  if (name === 'log_rate_limit_per_second') {
    const parsed = parseLogRate(String(value));
    if (!('bytes' in parsed && Number.isSafeInteger(parsed.bytes))) return value;
    return parsed.bytes <= 0 ? String(parsed.bytes) : formatBytes(parsed.bytes);
  }
  return value;
}

function differences(path: string, key: string, was: unknown, value: unknown): ManifestDifference[] {
  const identity = IDENTITY[key];
  if (identity && Array.isArray(was) && Array.isArray(value)) return listDifferences(path, identity, was, value);
  if (isRecord(was) && isRecord(value)) return fieldDifferences(path, was, value, key !== 'features');
  if (isDeepStrictEqual(was ?? null, value ?? null)) return [];
  return was === undefined || was === null ? [{ op: 'add', path, value }] : [{ op: 'replace', path, was, value }];
}

function fieldDifferences(path: string, was: Fields, value: Fields, removals: boolean): ManifestDifference[] {
  const step = (name: string): string => `${path}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
  const changed = Object.entries(value).flatMap(([name, item]) => differences(step(name), name, was[name], item));
  // An env or label that a manifest leaves out stays: applying a manifest merges.
  const merges = path.endsWith('/env') || path.includes('/metadata');
  const removed = removals && !merges ? Object.keys(was).filter((name) => !(name in value)) : [];
  return [...changed, ...removed.map((name) => ({ op: 'remove' as const, path: step(name), was: was[name] }))];
}

function listDifferences(path: string, identity: string, was: unknown[], value: unknown[]): ManifestDifference[] {
  return value.flatMap((item, index) => {
    const itemPath = `${path}/${index}`;
    const before = was.find((other) => isRecord(other) && isRecord(item) && other[identity] === item[identity]);
    if (!isRecord(before) || !isRecord(item)) return [{ op: 'add' as const, path: itemPath, value: item }];
    const known = underscored(before);
    return Object.entries(item).flatMap(([name, part]) =>
      differences(`${itemPath}/${name}`, name, known[name.replaceAll('-', '_')], part),
    );
  });
}
