import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { isCode, projectFiles, ROOT } from '../../support/project-files.ts';

/** What follows a link in the last part of a path, and writes, or gives away, what is there. */
const BY_PATH =
  /^(l?chown|l?chmod|l?utimes|writeFile|appendFile|copyFile|cp|truncate)(Sync)?$|^(createWriteStream|WriteStream)$/;

/** Rooms in which root works. */
const ROOMS = ['platform', 'cell', 'cli', 'router', 'kit'];

/** Where nobody else owns any part of the path, and why not. Everything else goes through kit/owned-files.ts. */
const ALLOWED: Record<string, string> = {
  'src/platform/buildpacks/': 'below the directory of buildpacks, in the data directory: 0700 and root’s',
  'src/platform/host/': 'the machine’s own files below /etc and /usr',
  'src/platform/ensure-secrets.ts': 'the key file, at a place of the operator’s, where none was (O_EXCL)',
  'src/kit/debian/': 'in a directory of its own that it just made',
  'src/platform/engines/image/': 'a tree that nobody else has yet, below the data directory: 0700 and root’s',
  'src/cli/commands/engines.ts': 'upgrade.log among the logs: 0700 and root’s',
  'src/cli/commands/up.ts': 'up.log among the logs: 0700 and root’s',
  'src/cli/commands/upgrade.ts': 'upgrade.log among the logs: 0700 and root’s',
  'src/cli/lanes/': 'files of namespaces that nobody else is in, and control groups',
  'src/cli/push/archive.ts': 'in a directory of its own that it just made',
  'src/cell/garden/': 'below the garden’s directories: 0700 and root’s; cgroups and /proc',
  'src/cell/images/image-store.ts': 'below the cell’s directory: 0700 and root’s',
  'src/cell/identity/system-trust.ts': 'below the cell’s directory: 0700 and root’s; containers see it read-only',
  'src/cell/network/': '/proc/sys, and a directory of root’s below /run',
  'src/cell/rep/': 'below the cell’s directory: 0700 and root’s',
  'src/cell/stack/': 'a tree that nobody else has yet, below the data directory: 0700 and root’s',
  'src/router/persisted-routes.ts': 'control, in its own directory; root reads there alone',
  'src/kit/owned-files.ts': 'below descriptors',
  'src/kit/engines.ts': 'in a directory of root’s alone',
  'src/kit/bundles.ts': 'in the checkout, whose owner says what root runs',
  'src/cell/staging/transfers.ts': 'below the cell’s directory: 0700 and root’s',
};

/** Functions of node:fs that a text imports or calls by a name of the module. */
function changesByPath(text: string): string[] {
  const imported = [...text.matchAll(/import\s*\{([^}]*)\}\s*from\s*'node:fs(?:\/promises)?'/g)].flatMap(([, names]) =>
    names!.split(',').map((name) => name.trim().split(/\s+as\s+/)[0]!),
  );
  const whole =
    /import\s+(\* as \w+|\w+)(,\s*\{[^}]*\})?\s+from\s*'node:fs(\/promises)?'|require\(|import\(\s*'node:fs/;
  return [...imported.filter((name) => BY_PATH.test(name)), ...(whole.test(text) ? ['the whole module'] : [])];
}

describe('what root changes by a path', () => {
  const found = projectFiles()
    .filter((path) => ROOMS.some((room) => path.startsWith(`src/${room}/`)) && isCode(path))
    .map((path) => ({ path, names: changesByPath(readFileSync(join(ROOT, path), 'utf8')) }))
    .filter(({ names }) => names.length > 0);

  test('is changed where nobody else owns a part of that path, or by kit/owned-files.ts', () => {
    const others = found.filter(({ path }) => !Object.keys(ALLOWED).some((place) => path.startsWith(place)));
    assert.deepEqual(others, []);
  });

  test('no exception is left that nothing needs', () => {
    const unused = Object.keys(ALLOWED).filter((place) => !found.some(({ path }) => path.startsWith(place)));
    assert.deepEqual(unused, []);
  });

  test('the rule finds what it forbids', () => {
    assert.deepEqual(changesByPath("import { chmodSync, readFileSync, type Stats } from 'node:fs';"), ['chmodSync']);
    assert.deepEqual(changesByPath("import {\n  writeFile as put,\n  rm,\n} from 'node:fs/promises';"), ['writeFile']);
    assert.deepEqual(changesByPath("import * as fs from 'node:fs';"), ['the whole module']);
    assert.deepEqual(changesByPath("import { fchownSync, openSync } from 'node:fs';"), []);
  });
});
