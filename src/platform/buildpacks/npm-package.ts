import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CupolaError } from '../../kit/errors.ts';
import { run } from '../../kit/process.ts';

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
    await run(
      'npm',
      [
        'pack',
        `${wanted.name}@${wanted.version}`,
        '--pack-destination',
        fresh,
        '--cache',
        join(fresh, 'npm'),
        '--silent',
      ],
      { env: inherited(), cwd: fresh, timeoutMs: 600_000, showWords: true },
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

async function matches(file: string, integrity: string): Promise<boolean> {
  const content = await readFile(file).catch(() => null);
  return content !== null && `sha512-${createHash('sha512').update(content).digest('base64')}` === integrity;
}

function inherited(): Record<string, string> {
  return Object.fromEntries(Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] != null));
}
