import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { isCode, projectFiles, ROOT } from '../../support/project-files.ts';

/** Where a stream of a file is read at once, by the same expression; elsewhere its reader may come after its error. */
const READ_AT_ONCE = /(pipeline\(|yield\* )createReadStream\(/;

/** Where a stream is opened that others read and end. */
const OPENED_FOR_OTHERS = ['src/cloud-controller/packages/zip-reader.ts', 'src/kit/streams.ts'];

test('a file is opened as a stream only where it is read at once, or by what lets its error wait for the reader', () => {
  const wrong = projectFiles()
    .filter((path) => path.startsWith('src/') && isCode(path) && !OPENED_FOR_OTHERS.includes(path))
    .flatMap((path) => {
      const lines = readFileSync(join(ROOT, path), 'utf8').split('\n');
      return lines
        .filter((line) => line.includes('createReadStream(') && !READ_AT_ONCE.test(line))
        .map((line) => `${path}: ${line.trim()}`);
    });
  assert.deepEqual(wrong, []);
});

/**
 * Node.js ends a process that leaves the closing of a FileHandle to the garbage collector. Each is closed where it is opened; here
 * it is kept for longer, and closed by what keeps it.
 */
const KEPT_OPEN: Readonly<Record<string, string>> = {
  'src/cell/logs/tail.ts': 'this.#file = await open(',
  'src/cloud-controller/packages/zip-reader.ts': 'const file = await open(',
};

test('a FileHandle is closed by the block that opens it, and no stream is made of one', () => {
  const wrong = projectFiles()
    .filter((path) => path.startsWith('src/') && isCode(path))
    .flatMap((path) => {
      const text = readFileSync(join(ROOT, path), 'utf8');
      const imported = /import \{([^}]*)\} from '(node:)?fs\/promises'/.exec(text)?.[1] ?? '';
      const streams =
        /\.(createReadStream|createWriteStream|readableWebStream|readLines)\(|\bfs\.promises\b|\* as \w+ from '(node:)?fs/;
      const opens = /(?<![.\w#])(?<!async )open\(/;
      const kept = KEPT_OPEN[path];
      return text
        .split('\n')
        .filter((line) => {
          if (streams.test(line)) return true;
          if (!/\bopen\b/.test(imported) || !opens.test(line)) return false;
          return !/await using \w+ = await open\(/.test(line) && !(kept && line.includes(kept));
        })
        .map((line) => `${path}: ${line.trim()}`);
    });
  assert.deepEqual(wrong, []);
});

test('a stream of a class of our own is given out only by what lets its error wait for the reader', () => {
  const classes = projectFiles()
    .filter((path) => path.startsWith('src/') && isCode(path))
    .flatMap((path) => {
      const text = readFileSync(join(ROOT, path), 'utf8');
      return [...text.matchAll(/class (\w+) extends (Readable|Duplex|PassThrough|Transform)\b/g)].map(([, name]) => ({
        path,
        name,
        kept: new RegExp(`const (\\w+) = new ${name}\\([\\s\\S]*?readLater\\(\\1\\)`).test(text),
      }));
    });
  assert.deepEqual(
    classes.map(({ path, name, kept }) => [path, name, kept]),
    [['src/kit/body.ts', 'BoundedBody', true]],
  );
});
