import { readFile, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { parse, stringify } from 'yaml';
import { CupolaError, messageOf } from '../../kit/errors.ts';
import { isRecord } from '../../kit/json.ts';

/** Where the cf CLI looks in a directory. */
const NAMES = ['manifest.yml', 'manifest.yaml'];
const ROUTES = ['routes', 'no-route', 'random-route', 'default-route'];

/** What is to be pushed, as a person says it. */
export interface PushRequest {
  /** Of the app; with its manifest, unless one is named. */
  directory?: string | undefined;
  /** A file, or a directory that has one. */
  manifest?: string | undefined;
  name?: string | undefined;
  /** Over what the manifest says. */
  env?: Readonly<Record<string, string>>;
}

/** One app, where its files lie, and the manifest to apply for it alone. */
export interface AppToPush {
  name: string;
  directory: string;
  yaml: string;
}

type Entry = Readonly<Record<string, unknown>>;

/**
 * The apps of a manifest, as `cf push` reads it: `name` picks one of several, or renames the only one. Without a manifest it is one app with
 * the directory's name. One that says nothing about routes gets the default route. Throws `bad_manifest`, `no_directory`.
 */
export async function appsToPush({ directory, manifest, name, env = {} }: PushRequest): Promise<AppToPush[]> {
  const base = resolve(directory ?? '.');
  await requireDirectory(base);
  const file = await manifestFile(manifest ?? base, manifest !== undefined);
  const all = file === null ? [{}] : entriesIn(file, await readFile(file, 'utf8'));
  const chosen = named(all, name);
  const given = Object.keys(env).length > 0;
  if (chosen.length > 1 && (given || (directory !== undefined && manifest !== undefined)))
    throw new CupolaError('bad_manifest', `${file} has ${chosen.length} apps: --name says which one`);
  return Promise.all(
    chosen.map(async (entry) => {
      // A directory that was named beside the manifest is the app's, else the manifest says where it lies.
      const own = directory !== undefined && manifest !== undefined ? undefined : entry['path'];
      const from = directory === undefined && file !== null ? dirname(file) : base;
      const lies = typeof own === 'string' ? resolve(from, own) : from;
      await requireDirectory(lies);
      return appOf(entry, { lies, name, env });
    }),
  );
}

function appOf(
  entry: Entry,
  { lies, name, env }: { lies: string; name: string | undefined; env: Readonly<Record<string, string>> },
): AppToPush {
  const { path: _, ...rest } = entry;
  const called = name ?? (typeof rest['name'] === 'string' ? rest['name'] : basename(lies));
  if ('docker' in rest)
    throw new CupolaError('bad_manifest', `${called} is a container image: push it with the cf CLI`);
  const before = isRecord(rest['env']) ? rest['env'] : {};
  const wanted = {
    ...rest,
    name: called,
    ...(Object.keys(env).length > 0 ? { env: { ...before, ...env } } : {}),
    ...(ROUTES.some((key) => key in rest) ? {} : { 'default-route': true }),
  };
  const yaml = stringify({ applications: [wanted] });
  return { name: called, directory: lies, yaml };
}

/** Throws `bad_manifest` where a name is none of several apps. */
function named(entries: readonly Entry[], name: string | undefined): readonly Entry[] {
  if (name === undefined || entries.length === 1) return entries;
  const found = entries.filter((entry) => entry['name'] === name);
  if (found.length === 0) throw new CupolaError('bad_manifest', `Could not find app named '${name}' in manifest`);
  return found;
}

async function requireDirectory(path: string): Promise<void> {
  const found = await stat(path).catch(() => null);
  if (!found?.isDirectory()) throw new CupolaError('no_directory', `${path} is not a directory`);
}

/** Null where there is none, and none is `needed`. */
async function manifestFile(path: string, needed: boolean): Promise<string | null> {
  const found = await stat(path).catch(() => null);
  if (found?.isFile()) return resolve(path);
  for (const file of found ? NAMES.map((one) => resolve(join(path, one))) : [])
    if (await stat(file).catch(() => null)) return file;
  if (needed) throw new CupolaError('bad_manifest', `there is no manifest ${path}`);
  return null;
}

function yamlOf(file: string, text: string): unknown {
  try {
    return parse(text, { maxAliasCount: 100, merge: true });
  } catch (error) {
    const [what] = messageOf(error).split(':\n'); // and then the line itself
    throw new CupolaError('bad_manifest', `${file} is no YAML: ${what}`);
  }
}

function entriesIn(file: string, text: string): Entry[] {
  const parsed = yamlOf(file, text);
  const apps: unknown = isRecord(parsed) ? parsed['applications'] : undefined;
  const entries = Array.isArray(apps) ? apps.filter(isRecord) : [];
  if (entries.length === 0) throw new CupolaError('bad_manifest', `${file} has no applications`);
  const variables = [...new Set(text.match(/\(\([\w./-]+\)\)/g))];
  if (variables.length === 0) return entries;
  throw new CupolaError(
    'bad_manifest',
    `${file} has variables: ${variables.join(', ')}; the cf CLI fills them in (cf push --var NAME=VALUE)`,
  );
}
