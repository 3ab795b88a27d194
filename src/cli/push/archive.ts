import { createWriteStream } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join, matchesGlob } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { ZipFile } from 'yazl';
import { CupolaError } from '../../kit/errors.ts';

/** What the cf CLI leaves at home too. */
const NEVER = new Set(['.cfignore', '.gitignore', '.git', '.hg', '.svn', '_darcs', '.DS_Store']);

/** Zips an app's directory into `target`. A `.cfignore` may name what stays behind: names, paths, `*` and `**`; no negation. */
export async function zipDirectory(directory: string, target: string): Promise<void> {
  const ignored = await readIgnored(directory);
  const zip = new ZipFile();
  let files = 0;
  const walk = async (below: string): Promise<void> => {
    for (const entry of await readdir(join(directory, below), { withFileTypes: true })) {
      const path = below === '' ? entry.name : `${below}/${entry.name}`;
      if (NEVER.has(entry.name) || path === 'manifest.yml' || ignored(path, entry.name)) continue;
      const { mode } = await stat(join(directory, path));
      if (entry.isDirectory()) await walk(path);
      else if (entry.isFile()) {
        zip.addFile(join(directory, path), path, { mode });
        files++;
      } else if (entry.isSymbolicLink()) {
        throw new CupolaError('unsupported_file', `${path} is a link; use the cf CLI for this app`);
      }
    }
  };
  await walk('');
  if (files === 0) throw new CupolaError('nothing_to_push', `${directory} holds no file to push`);
  zip.end();
  await pipeline(zip.outputStream, createWriteStream(target, { mode: 0o600 }));
}

async function readIgnored(directory: string): Promise<(path: string, name: string) => boolean> {
  const text = await readFile(join(directory, '.cfignore'), 'utf8').catch(() => '');
  const patterns = text
    .split('\n')
    .map((line) => line.trim().replace(/\/$/, ''))
    .filter((line) => line !== '' && !line.startsWith('#'));
  return (path, name) =>
    patterns.some((pattern) =>
      pattern.includes('/') ? matchesGlob(path, pattern.replace(/^\//, '')) : matchesGlob(name, pattern),
    );
}
