import { readFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { parse, stringify } from 'yaml';
import { CupolaError, messageOf } from '../../kit/errors.ts';
import { isRecord } from '../../kit/json.ts';

/**
 * The manifest to apply for a directory: the first app of its manifest.yml, or one that only has a name. It gets a default route
 * unless it says something about routes itself. Throws `bad_manifest`.
 */
export async function manifestFor(directory: string, name?: string): Promise<{ name: string; yaml: string }> {
  const text = await readFile(join(directory, 'manifest.yml'), 'utf8').catch(() => null);
  const app = text === null ? {} : firstApp(text);
  const chosen = name ?? (typeof app['name'] === 'string' ? app['name'] : basename(resolve(directory)));
  const speaksOfRoutes = ['routes', 'no-route', 'random-route', 'default-route'].some((key) => key in app);
  const { path: _where, ...rest } = app; // the directory was named already
  const wanted = { ...rest, name: chosen, ...(speaksOfRoutes ? {} : { 'default-route': true }) };
  return { name: chosen, yaml: stringify({ applications: [wanted] }) };
}

function yamlOf(text: string): unknown {
  try {
    return parse(text, { maxAliasCount: 100 });
  } catch (error) {
    const [what] = messageOf(error).split(':\n'); // and then the line itself
    throw new CupolaError('bad_manifest', `manifest.yml is no YAML: ${what}`);
  }
}

function firstApp(text: string): Record<string, unknown> {
  const parsed = yamlOf(text);
  const apps = isRecord(parsed) ? parsed['applications'] : undefined;
  const app: unknown = Array.isArray(apps) ? apps[0] : undefined;
  if (!isRecord(app)) throw new CupolaError('bad_manifest', 'manifest.yml has no applications');
  return app;
}
