import { readBoundedYaml, YamlRefusedError } from '../../kit/yaml.ts';
import type { Context } from '../context.ts';
import type { Db } from '../database.ts';
import { requireDocker } from '../docker/images.ts';
import { CfError, unprocessable } from '../errors.ts';
import type { ManifestApp } from './app.ts';
import { readManifest } from './manifest.ts';

/**
 * The manifest of a request's body. Throws BadRequest, MessageParseError and UnprocessableEntity with every problem.
 */
export async function manifestOf(
  { db, settings }: Pick<Context, 'db' | 'settings'>,
  { body, contentType }: { body: unknown; contentType: string },
): Promise<Pick<ReturnType<typeof readManifest>, 'apps' | 'raw'>> {
  if (!/\byaml\b/i.test(contentType) || typeof body !== 'string') {
    throw new CfError('BadRequest', 'Content-Type must be yaml');
  }
  const { apps, raw, problems } = readManifest(await parse(body), settings);
  if (problems.length > 0) throw unprocessable(problems.slice(0, 50).join(', '));
  await checkImagesAllowed(db, apps);
  return { apps, raw };
}

async function parse(text: string): Promise<unknown> {
  try {
    return await readBoundedYaml(text);
  } catch (cause) {
    if (!(cause instanceof YamlRefusedError)) throw cause;
    throw new CfError('MessageParseError', `Request invalid due to parse error: ${cause.message}`, { cause });
  }
}

/** Throws UnprocessableEntity, as for every other problem of a manifest. */
async function checkImagesAllowed(db: Db, apps: readonly ManifestApp[]): Promise<void> {
  const first = apps.find(({ docker }) => docker);
  if (!first) return;
  await requireDocker(db, 'docker').catch((error: unknown) => {
    if (!(error instanceof CfError)) throw error;
    throw unprocessable(`For application '${first.name}': ${error.detail}`);
  });
}
