import { createWriteStream } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import ignore from 'ignore';
import { ZipFile } from 'yazl';
import { CupolaError } from '../../kit/errors.ts';

/** What the cf CLI leaves at home, unless `.cfignore` says otherwise. */
const LEFT = ['.cfignore', '/manifest.yml', '.gitignore', '.git', '.hg', '.svn', '_darcs', '.DS_Store'];

/** Zips an app's directory into `target`. A `.cfignore` names what stays behind, as a `.gitignore` does. */
export async function zipDirectory(directory: string, target: string): Promise<void> {
  const rules = await readFile(join(directory, '.cfignore'), 'utf8').catch(() => '');
  const left = ignore({ ignorecase: false }).add(LEFT).add(rules);
  const zip = new ZipFile();
  let files = 0;
  const walk = async (below: string): Promise<void> => {
    for (const entry of await readdir(join(directory, below), { withFileTypes: true })) {
      const path = below === '' ? entry.name : `${below}/${entry.name}`;
      if (left.ignores(entry.isDirectory() ? `${path}/` : path)) continue;
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
