import { readFile, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { parse, stringify } from 'yaml';
import { CupolaError, messageOf } from '../../kit/errors.ts';
import { isRecord } from '../../kit/json.ts';
import { filledIn, type Variables } from './variables.ts';

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
  /** What its variables stand for. */
  variables?: Variables;
  /** A container image in place of files. */
  docker?: DockerImage | undefined;
}

/** Where a registry wants to know who asks, `username`; the password never stands in a manifest. */
export interface DockerImage {
  image: string;
  username?: string | undefined;
}

/** One app, where its files lie, and the manifest to apply for it alone. */
export interface AppToPush {
  name: string;
  directory: string;
  /** In place of the files. */
  docker: DockerImage | null;
  yaml: string;
}

type Entry = Readonly<Record<string, unknown>>;

/**
 * The apps of a manifest, as `cf push` reads it: `name` picks one of several, or renames the only one. Without a manifest it is one app with
 * the directory's name. One that says nothing about routes gets the default route. Throws `bad_manifest`, `no_directory`.
 */
export async function appsToPush(request: PushRequest): Promise<AppToPush[]> {
  const { directory, manifest, name, env = {}, variables = {}, docker } = request;
  const base = resolve(directory ?? '.');
  await requireDirectory(base);
  const file = await manifestFile(manifest ?? base, manifest !== undefined);
  const all = file === null ? [{}] : entriesIn(file, await readFile(file, 'utf8'), variables);
  const chosen = named(all, name);
  const given = Object.keys(env).length > 0 || docker !== undefined;
  if (chosen.length > 1 && (given || (directory !== undefined && manifest !== undefined)))
    throw new CupolaError('bad_manifest', `${file} has ${chosen.length} apps: --name says which one`);
  return Promise.all(
    chosen.map(async (entry) => {
      // A directory that was named beside the manifest is the app's, else the manifest says where it lies.
      const own = directory !== undefined && manifest !== undefined ? undefined : entry['path'];
      const from = directory === undefined && file !== null ? dirname(file) : base;
      const lies = typeof own === 'string' ? resolve(from, own) : from;
      await requireDirectory(lies);
      if (file !== null && typeof own === 'string') await requireBelow(dirname(file), lies, file);
      return appOf(entry, { lies, name, env, docker });
    }),
  );
}

function appOf(
  entry: Entry,
  { lies, name, env = {}, docker }: Pick<PushRequest, 'name' | 'env' | 'docker'> & { lies: string },
): AppToPush {
  const { path: _, ...rest } = entry;
  const called = name ?? (typeof rest['name'] === 'string' ? rest['name'] : basename(lies));
  if (/\p{Cc}/u.test(called)) throw new CupolaError('bad_manifest', 'the name of an app has no control characters');
  const image = docker ?? dockerOf(called, rest['docker']);
  const before = isRecord(rest['env']) ? rest['env'] : {};
  const wanted = {
    ...rest,
    name: called,
    ...(image === null ? {} : { docker: image }),
    ...(Object.keys(env).length > 0 ? { env: { ...before, ...env } } : {}),
    ...(ROUTES.some((key) => key in rest) ? {} : { 'default-route': true }),
  };
  const yaml = stringify({ applications: [wanted] });
  return { name: called, directory: lies, docker: image, yaml };
}

/** Null where it is not said. Throws `bad_manifest`. */
function dockerOf(name: string, said: unknown): DockerImage | null {
  if (said === undefined || said === null) return null;
  const { image, username } = isRecord(said) ? said : {};
  if (typeof image !== 'string' || (username !== undefined && typeof username !== 'string'))
    throw new CupolaError('bad_manifest', `docker of ${name} takes image and username`);
  return { image, ...(username === undefined ? {} : { username }) };
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

/**
 * A push is root's, who can read every file, and a manifest may come from anybody: it names what lies beside it, links followed. What lies
 * elsewhere the person names. Throws `bad_manifest`.
 */
async function requireBelow(directory: string, path: string, file: string): Promise<void> {
  const [above, real] = await Promise.all([realpath(directory), realpath(path)]);
  if (real === above || real.startsWith(above === sep ? sep : `${above}${sep}`)) return;
  throw new CupolaError(
    'bad_manifest',
    `${file} leads to ${path}, outside of its directory: push DIR -f FILE names it`,
  );
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

function entriesIn(file: string, text: string, variables: Variables): Entry[] {
  const missing = new Set<string>();
  const parsed = filledIn(yamlOf(file, text), variables, missing);
  const apps: unknown = isRecord(parsed) ? parsed['applications'] : undefined;
  const entries = Array.isArray(apps) ? apps.filter(isRecord) : [];
  if (entries.length === 0) throw new CupolaError('bad_manifest', `${file} has no applications`);
  if (missing.size === 0) return entries;
  const names = [...missing].map((name) => `((${name}))`).join(', ');
  throw new CupolaError(
    'bad_manifest',
    `${file} has variables: ${names}; --var NAME=VALUE or --vars-file FILE says what they stand for`,
  );
}
