import assert from 'node:assert/strict';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { watch } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import {
  ensureStack,
  RECIPE_DIGEST,
  recipeDigest,
  removeOldStacks,
  stackHome,
  stackRoot,
} from '../../../src/cell/stack/stack.ts';
import { Logger } from '../../../src/kit/log.ts';

const NAME = 'debian12';
const log = new Logger('stack', {}, () => {});
const DAY_MS = 24 * 60 * 60_000;
let directory = '';
let cache = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'stacks-'));
  cache = mkdtempSync(join(tmpdir(), 'stacks-cache-'));
});
afterEach(() => {
  for (const path of [directory, cache]) rmSync(path, { recursive: true });
});

/** A tree that says it is a stack. */
function pretend(home: string, version: string): void {
  rmSync(home, { recursive: true, force: true }); // a stack is replaced, and never written to
  mkdirSync(join(home, 'rootfs/etc'), { recursive: true });
  writeFileSync(join(home, 'rootfs/etc/cupola-stack'), `name=${NAME}\nversion=${version}\n`);
}

const names = () => readdirSync(directory).sort();

test('CTR-04: a stack is taken by the recipe it was built by: those of other recipes stay beside it and are not taken', async () => {
  pretend(join(directory, NAME), '20260101-000000000000');
  pretend(join(directory, `${NAME}-0123456789ab`), '20260102-000000000000');
  pretend(stackHome(cache, NAME), '20260103-000000000000');
  const stack = await ensureStack({ directory, name: NAME, cache, log });
  assert.deepEqual(stack, { name: NAME, version: '20260103-000000000000', rootfs: stackRoot(directory, NAME) });
  assert.match(basename(stackHome(directory, NAME)), /^debian12-[0-9a-f]{12}$/);
  assert.deepEqual(names(), [NAME, `${NAME}-0123456789ab`, `${NAME}-${RECIPE_DIGEST}`].sort());
  pretend(stackHome(cache, NAME), '20260104-000000000000');
  assert.deepEqual(await ensureStack({ directory, name: NAME, cache, log }), stack, 'what is there stays');
  await assert.rejects(ensureStack({ directory, name: 'other', log }), { code: 'stack_unknown' });
});

test('the recipe is every word that decides what is built', () => {
  const source = join(import.meta.dirname, '../../../src/cell/stack');
  const digestOf = (changed: string) => {
    const copy = join(directory, `recipe-${changed}`);
    cpSync(source, copy, { recursive: true });
    appendFileSync(join(copy, changed), '// changed\n');
    return recipeDigest(copy);
  };
  assert.notEqual(digestOf('build.ts'), RECIPE_DIGEST);
  assert.notEqual(digestOf('packages.ts'), RECIPE_DIGEST);
  assert.equal(digestOf('stack.ts'), RECIPE_DIGEST, 'where it is kept is no part of it');
});

test('old stacks go when nobody asked for them for long, and nothing else goes', async () => {
  const old = join(directory, `${NAME}-0123456789ab`);
  const asked = join(directory, `${NAME}-ba9876543210`);
  for (const home of [join(directory, NAME), old, asked, stackHome(directory, NAME)])
    pretend(home, '20260101-000000000000');
  for (const other of [`${NAME}-notes`, `${NAME}13-0123456789ab`]) mkdirSync(join(directory, other));
  const longAgo = new Date(Date.now() - 20 * DAY_MS);
  for (const name of names()) utimesSync(join(directory, name), longAgo, longAgo);
  utimesSync(asked, new Date(), new Date());
  await ensureStack({ directory, name: NAME, log });
  assert.deepEqual((await removeOldStacks(directory, NAME, 14 * DAY_MS)).sort(), [NAME, `${NAME}-0123456789ab`]);
  assert.deepEqual(
    names(),
    [`${NAME}-${RECIPE_DIGEST}`, `${NAME}-ba9876543210`, `${NAME}-notes`, `${NAME}13-0123456789ab`].sort(),
  );
  assert.deepEqual(
    await removeOldStacks(directory, NAME),
    [`${NAME}-ba9876543210`],
    'at once, where nothing stands on them',
  );
  assert.ok(existsSync(stackRoot(directory, NAME)));
});

test('two that remove old stacks at once remove each one once, and neither fails', async () => {
  const old = Array.from({ length: 20 }, (_, index) => `${NAME}-${String(index).padStart(12, '0')}`);
  for (const name of old) pretend(join(directory, name), '20260101-000000000000');
  const removed = await Promise.all([1, 2, 3].map(() => removeOldStacks(directory, NAME)));
  assert.deepEqual(removed.flat().sort(), old);
  assert.deepEqual(
    names().filter((name) => name !== `${NAME}-${RECIPE_DIGEST}`),
    [],
  );
});

test('a build under way is left alone, and what a killed one left is removed', async () => {
  const underWay = join(directory, `.${NAME}.building-1`);
  const left = join(directory, `.${NAME}.building-2`);
  for (const path of [underWay, left]) mkdirSync(path);
  const longAgo = new Date(Date.now() - DAY_MS);
  utimesSync(left, longAgo, longAgo);
  pretend(stackHome(cache, NAME), '20260103-000000000000');
  await ensureStack({ directory, name: NAME, cache, log });
  assert.deepEqual([existsSync(underWay), existsSync(left)], [true, false]);
});

describe('a stack that lies built elsewhere', { skip: process.getuid?.() === 0 ? false : 'needs root' }, () => {
  const VERSION = 'etc/cupola-stack';

  /** Whether the one that is taken of it has the same files. */
  async function sharesFiles(): Promise<boolean> {
    const { rootfs } = await ensureStack({ directory, name: NAME, cache, log });
    const [here, there] = [rootfs, stackRoot(cache, NAME)].map((root) => statSync(join(root, VERSION)));
    rmSync(stackHome(directory, NAME), { recursive: true });
    return here!.ino === there!.ino;
  }

  test('CTR-04: is shared where nobody but root may write to it, and else copied', async () => {
    pretend(stackHome(cache, NAME), '20260103-000000000000');
    const above = [cache, stackHome(cache, NAME), stackRoot(cache, NAME)];
    const modeOf = (path: string) => (path === cache ? 0o700 : 0o755);
    for (const path of above) chmodSync(path, modeOf(path));
    assert.equal(await sharesFiles(), true);
    for (const path of above) {
      // In a directory that others may come to, they have a stack's own /tmp to write to.
      for (const mode of [0o775, 0o757, ...(path === cache ? [0o755, 0o711, 0o750] : [])]) {
        chmodSync(path, mode);
        assert.equal(await sharesFiles(), false, `${path} ${mode.toString(8)}`);
      }
      chmodSync(path, modeOf(path));
      chownSync(path, 2000, 0);
      assert.equal(await sharesFiles(), false, `${path} is another’s`);
      chownSync(path, 0, 0);
    }
    assert.equal(await sharesFiles(), true);
  });

  test('is taken without a file beside it: one as old as what it is a link of would be cleaned up', async ({
    signal,
  }) => {
    pretend(stackHome(cache, NAME), '20260103-000000000000');
    const seen = new Set<string | null>();
    const changes = watch(directory, { signal });
    const [{ rootfs }] = await Promise.all([
      ensureStack({ directory, name: NAME, cache, log }),
      (async () => {
        for await (const { filename } of changes) {
          seen.add(filename);
          if (filename === basename(stackHome(directory, NAME))) return;
        }
      })(),
    ]);
    assert.equal(rootfs, stackRoot(directory, NAME));
    assert.equal(seen.size, 2, [...seen].join());
  });
});
