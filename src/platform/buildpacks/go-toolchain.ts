import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { CupolaError } from '../../kit/errors.ts';
import { download } from './download.ts';
import { filesOf } from './zip-files.ts';

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };

export interface GoToolchain {
  /** "1.27.3" */
  version: string;
  /** "h1:…", as Go's checksum database has it: of the files in the archive and not of the archive. */
  sum: string;
}

/**
 * Fetches a Go toolchain into `directory`, as the module golang.org/toolchain of the module proxies that `goProxy` gives (a
 * list as in GOPROXY); gives the path of the archive. Throws `dependency_digest_mismatch`, `dependency_unreachable`,
 * `architecture_unknown`.
 */
export async function fetchGoToolchain(
  wanted: GoToolchain,
  directory: string,
  goProxy: () => Promise<string>,
): Promise<string> {
  const version = moduleVersion(wanted);
  return download(
    {
      name: `golang-toolchain-${version}.zip`,
      urls: async () => proxies(await goProxy()).map((proxy) => `${proxy}/golang.org/toolchain/@v/${version}.zip`),
      isPinned: async (file) => (await dirhash(file)) === wanted.sum,
    },
    directory,
  );
}

/** Unpacks what building a program needs into `target`: no tests, no sources of the tools themselves. */
export async function unpackGoToolchain(file: string, wanted: GoToolchain, target: string): Promise<void> {
  const root = `golang.org/toolchain@${moduleVersion(wanted)}/`;
  for await (const { name, open } of filesOf(file)) {
    const path = name.slice(root.length);
    if (!name.startsWith(root) || !isNeeded(path)) continue;
    await mkdir(dirname(join(target, path)), { recursive: true });
    const mode = /^(bin|pkg\/tool)\//.test(path) ? 0o755 : 0o644;
    await pipeline(await open(), createWriteStream(join(target, path), { mode }));
  }
}

function moduleVersion({ version }: GoToolchain): string {
  const architecture = ARCHITECTURES[process.arch];
  if (architecture === undefined) throw new CupolaError('architecture_unknown', `no Go for ${process.arch}`);
  return `v0.0.1-go${version}.linux-${architecture}`;
}

function isNeeded(path: string): boolean {
  if (path.startsWith('src/cmd/') || /(^|\/)testdata\//.test(path) || path.endsWith('_test.go')) return false;
  return /^(src|pkg\/include|lib)\//.test(path) || /^(bin\/go|go\.env|VERSION|LICENSE)$/.test(path) || isTool(path);
}

/** What `go build` calls where there is no C compiler. */
function isTool(path: string): boolean {
  return /^pkg\/tool\/[a-z0-9_]+\/(asm|compile|link|preprofile)$/.test(path);
}

/** The web addresses in a GOPROXY list; "direct" and "off" are no place to get a toolchain from. */
function proxies(setting: string): string[] {
  const listed = setting.split(/[,|]/).map((entry) => entry.trim().replace(/\/+$/, ''));
  return listed.filter((entry) => /^(https?|file):\/\//.test(entry));
}

/** Go's "h1" digest of a module archive: SHA-256 over the sorted lines "<SHA-256 of the file>  <name>". */
export async function dirhash(file: string): Promise<string> {
  const lines: { name: string; line: string }[] = [];
  for await (const { name, open } of filesOf(file)) {
    const hash = createHash('sha256');
    await pipeline(await open(), hash);
    lines.push({ name, line: `${hash.digest('hex')}  ${name}\n` });
  }
  lines.sort((one, other) => Buffer.compare(Buffer.from(one.name), Buffer.from(other.name)));
  const total = createHash('sha256');
  for (const { line } of lines) total.update(line);
  return `h1:${total.digest('base64')}`;
}
