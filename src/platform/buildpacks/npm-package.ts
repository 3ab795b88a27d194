import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { constants, copyFile, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CupolaError } from '../../kit/errors.ts';
import { run } from '../../kit/process.ts';
import { PROJECT } from '../../kit/project.js';

export interface NpmPackage {
  name: string;
  version: string;
  /** Subresource integrity ("sha512-…"), pinned in the buildpack's source. */
  integrity: string;
}

/**
 * Fetches a package's archive into `directory` unless it is there, and checks it against the pinned digest either way.
 * The npm client does the transport, so its registry, proxy and certificate settings hold. Gives the path of the .tgz.
 * Throws `dependency_digest_mismatch`, or `command_failed` where npm could not fetch it.
 */
export async function fetchNpmPackage(wanted: NpmPackage, directory: string): Promise<string> {
  const file = join(directory, `${wanted.name}-${wanted.version}.tgz`);
  if (await matches(file, wanted.integrity)) return file;
  await mkdir(directory, { recursive: true });
  const fresh = await mkdtemp(join(directory, 'fetch-'));
  try {
    if (await takeFetched(wanted, file)) return file;
    const {
      npm: [npm, ...first],
      env,
    } = npmCommand();
    await run(
      npm,
      [
        ...first,
        'pack',
        `${wanted.name}@${wanted.version}`,
        '--pack-destination',
        fresh,
        '--cache',
        join(fresh, 'npm'),
        '--silent',
      ],
      { env: { ...env, ...inherited() }, cwd: fresh, timeoutMs: 600_000, showWords: true },
    );
    const packed = join(fresh, `${wanted.name}-${wanted.version}.tgz`);
    if (!(await matches(packed, wanted.integrity))) {
      throw new CupolaError('dependency_digest_mismatch', `${wanted.name}@${wanted.version} is not what was pinned`);
    }
    await rename(packed, file);
    return file;
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}

/**
 * The one that this checkout fetched, where the machine has none (tools/fetch-npm.sh). It is told where the distribution's would look for
 * authorities and settings.
 */
function npmCommand(): { npm: [string, ...string[]]; env: Record<string, string> } {
  const own = join(PROJECT, 'node_modules/.npm/bin/npm-cli.js');
  if (!existsSync(own)) return { npm: ['npm'], env: {} };
  return {
    npm: [process.execPath, own],
    env: { NODE_USE_SYSTEM_CA: '1', npm_config_globalconfig: '/etc/npmrc' },
  };
}

/** What was fetched to begin with is not fetched again. */
async function takeFetched({ name, version, integrity }: NpmPackage, file: string): Promise<boolean> {
  const fetched = join(PROJECT, 'node_modules/.fetched', `${name}-${version}.tgz`);
  if (!(await matches(fetched, integrity))) return false;
  const part = `${file}.part`;
  await copyFile(fetched, part, constants.COPYFILE_FICLONE);
  const isWhole = await matches(part, integrity);
  if (isWhole) await rename(part, file);
  return isWhole;
}

async function matches(file: string, integrity: string): Promise<boolean> {
  const content = await readFile(file).catch(() => null);
  return content !== null && `sha512-${createHash('sha512').update(content).digest('base64')}` === integrity;
}

function inherited(): Record<string, string> {
  return Object.fromEntries(Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] != null));
}
