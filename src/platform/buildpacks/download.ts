import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { CupolaError, messageOf } from '../../kit/errors.ts';
import { PLAIN_ENVIRONMENT, run } from '../../kit/process.ts';

/** curl's own: proxies and the machine's authorities, as every other program here has them. */
const INHERITED = ['http_proxy', 'https_proxy', 'no_proxy', 'HTTPS_PROXY', 'NO_PROXY', 'SSL_CERT_FILE', 'HOME'];

export interface Download {
  /** Its name in `directory`. */
  name: string;
  /** Asked for where the file is not there; tried in order. They may carry credentials, which are shown to nobody. */
  urls: () => Promise<readonly string[]>;
  /** Whether the file is the one that was pinned. */
  isPinned: (file: string) => Promise<boolean>;
}

/**
 * Fetches a file into `directory` unless it is there; checked against what was pinned either way. Gives its path.
 * Throws `dependency_digest_mismatch`, `dependency_unreachable`.
 */
export async function download(wanted: Download, directory: string): Promise<string> {
  const file = join(directory, wanted.name);
  if (await wanted.isPinned(file).catch(() => false)) return file;
  await mkdir(directory, { recursive: true });
  const fresh = await mkdtemp(join(directory, 'fetch-'));
  try {
    const part = join(fresh, wanted.name);
    await fetchFirst(wanted, part);
    if (!(await wanted.isPinned(part))) {
      throw new CupolaError('dependency_digest_mismatch', `${wanted.name} is not what was pinned`);
    }
    await rename(part, file);
    return file;
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}

async function fetchFirst({ name, urls }: Download, target: string): Promise<void> {
  let problem = 'no source is set for it';
  for (const url of await urls()) {
    try {
      // On standard input, because everybody may read what a process was called with.
      await run('curl', ['--config', '-'], {
        input: curlSettings(url, target),
        env: environment(),
        timeoutMs: 900_000,
        showWords: true,
      });
      return;
    } catch (error) {
      problem = messageOf(error).replaceAll(url, hostOf(url));
    }
  }
  throw new CupolaError('dependency_unreachable', `${name} could not be fetched: ${problem}`);
}

function curlSettings(url: string, target: string): string {
  const quoted = (text: string): string => `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
  return [
    `url = ${quoted(url)}`,
    `output = ${quoted(target)}`,
    ...['fail', 'location', 'silent', 'show-error', 'retry = 3', 'retry-connrefused', 'connect-timeout = 30'],
    'proto = "=https,http,file"',
    'proto-redir = "=https"',
  ].join('\n');
}

function environment(): Record<string, string> {
  const inherited = INHERITED.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]]));
  return { ...PLAIN_ENVIRONMENT, ...(Object.fromEntries(inherited) as Record<string, string>) };
}

function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : 'its source';
}

/** Hexadecimal digest of a file. */
export async function digestOf(algorithm: 'sha256' | 'sha512', file: string): Promise<string> {
  const hash = createHash(algorithm);
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}
