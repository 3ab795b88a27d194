import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  existsSync,
  lchownSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import {
  closeDirectory,
  ensureFile,
  giveSocket,
  linkFile,
  makeDirectory,
  readOwnFile,
  readPlainFile,
  realDirectory,
  removeTree,
  replaceFile,
  withOwnSocket,
} from '../../../src/kit/owned-files.ts';
import { run } from '../../../src/kit/process.ts';

/** An account that needs no name. */
const OTHER = { uid: 64_321, gid: 64_321 };
const UNSAFE = { code: 'unsafe_path' };

describe('what root makes where other accounts have directories', {
  skip: process.getuid?.() === 0 ? false : 'gives files away, which needs root',
}, () => {
  let directory: string;
  /** The other account's, in a directory of root's. */
  let theirs: string;
  /** What a link of theirs leads to. */
  let target: string;
  let before: string;
  const at = (...names: string[]) => join(directory, ...names);
  const look = (path: string) => {
    const { uid, gid, mode } = statSync(path);
    return `${uid}:${gid} ${(mode & 0o7777).toString(8)}`;
  };
  const everything = () =>
    ['.', ...readdirSync(target)]
      .map((name) => `${name} ${look(join(target, name))}`)
      .concat(readFileSync(join(target, 'file'), 'utf8'))
      .join('\n');

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'cupola-owned-'));
    theirs = makeDirectory(at('theirs'), { mode: 0o700, owner: OTHER });
    target = at('target');
    mkdirSync(target, { mode: 0o755 });
    writeFileSync(join(target, 'file'), 'as it was', { mode: 0o644 });
    before = everything();
  });
  afterEach(() => {
    assert.equal(everything(), before, 'what a link leads to is as it was');
    rmSync(directory, { recursive: true });
  });

  test('a directory and a file have the owner and the mode that was asked for, again and again', () => {
    for (const mode of [0o700, 0o750]) {
      const path = makeDirectory(at('a/b'), { mode, owner: OTHER });
      assert.equal(look(path), `64321:64321 ${mode.toString(8)}`);
      replaceFile(join(path, 'file'), `mode ${mode}`, { mode: mode & 0o666, owner: { uid: 0, gid: OTHER.gid } });
      assert.equal(look(join(path, 'file')), `0:64321 ${(mode & 0o666).toString(8)}`);
      assert.equal(readFileSync(join(path, 'file'), 'utf8'), `mode ${mode}`);
    }
    assert.deepEqual(readdirSync(at('a/b')), ['file']);
    ensureFile(at('a/b/file'), { mode: 0o600 });
    assert.equal(readFileSync(at('a/b/file'), 'utf8'), `mode ${0o750}`, 'it keeps its content');
    assert.equal(look(at('a/b/file')), '0:0 600');
  });

  test('SECURITY: a link in the place of a directory is refused, and what it leads to keeps owner and mode', () => {
    symlinkSync(target, join(theirs, 'tmp'));
    assert.throws(() => makeDirectory(join(theirs, 'tmp'), { mode: 0o700, owner: OTHER }), UNSAFE);
    symlinkSync(join(target, 'new'), join(theirs, 'new'));
    assert.throws(() => makeDirectory(join(theirs, 'new'), { mode: 0o700, owner: OTHER }), UNSAFE);
    assert.equal(existsSync(join(target, 'new')), false);
    symlinkSync(join(target, 'file'), join(theirs, 'file'));
    assert.throws(() => makeDirectory(join(theirs, 'file'), { mode: 0o700, owner: OTHER }), UNSAFE);
  });

  test('SECURITY: a link in the place of a file is replaced, and what it leads to keeps owner, mode and content', () => {
    for (const name of ['pem', 'pem.new']) symlinkSync(join(target, 'file'), join(theirs, name));
    replaceFile(join(theirs, 'pem'), 'secret', { mode: 0o600, owner: OTHER });
    assert.equal(readFileSync(join(theirs, 'pem'), 'utf8'), 'secret');
    assert.deepEqual(readdirSync(theirs), ['pem']);
    symlinkSync(join(target, 'file'), join(theirs, 'list'));
    assert.throws(() => ensureFile(join(theirs, 'list'), { mode: 0o600, owner: OTHER }), UNSAFE);
    mkdirSync(join(theirs, 'directory'));
    assert.throws(() => replaceFile(join(theirs, 'directory'), 'x', { mode: 0o600, owner: OTHER }), UNSAFE);
  });

  test('a file of root’s has one more name, and stays root’s, where another account may move that', () => {
    replaceFile(at('zip'), 'content', { mode: 0o644 });
    for (const _ of [1, 2]) assert.equal(linkFile(join(theirs, 'zip'), at('zip')), true);
    assert.equal(statSync(join(theirs, 'zip')).ino, statSync(at('zip')).ino);
    assert.equal(look(join(theirs, 'zip')), '0:0 644');
    assert.equal(linkFile('/dev/shm/cupola-owned-zip', at('zip')), false, 'on another file system');
  });

  test('SECURITY: another name is given to no file that others may write to, and by no link of theirs', () => {
    replaceFile(at('zip'), 'content', { mode: 0o644 });
    symlinkSync(join(target, 'file'), join(theirs, 'zip'));
    assert.equal(linkFile(join(theirs, 'zip'), at('zip')), true);
    assert.equal(statSync(join(theirs, 'zip')).ino, statSync(at('zip')).ino, 'in the place of the link');
    symlinkSync(target, join(theirs, 'link'));
    assert.throws(() => linkFile(join(theirs, 'link/zip'), at('zip')), UNSAFE);
    mkdirSync(join(theirs, 'directory'));
    assert.throws(() => linkFile(join(theirs, 'directory'), at('zip')), UNSAFE);
    symlinkSync(at('zip'), at('named'));
    assert.equal(linkFile(join(theirs, 'other'), at('named')), false);
    for (const mode of [0o664, 0o646]) {
      chmodSync(at('zip'), mode);
      assert.equal(linkFile(join(theirs, 'other'), at('zip')), false);
    }
    replaceFile(at('zip'), 'content', { mode: 0o644, owner: OTHER });
    assert.equal(linkFile(join(theirs, 'other'), at('zip')), false);
    assert.equal(existsSync(join(theirs, 'other')), false);
  });

  test('SECURITY: nothing is made through a directory that another account could put another in the place of', () => {
    mkdirSync(join(theirs, 'deep'));
    chownSync(join(theirs, 'deep'), 0, 0);
    assert.throws(() => replaceFile(join(theirs, 'deep/file'), 'x', { mode: 0o600 }), UNSAFE);
    assert.throws(() => makeDirectory(join(theirs, 'deep/directory'), { mode: 0o700 }), UNSAFE);
    symlinkSync(target, join(theirs, 'link'));
    assert.throws(() => replaceFile(join(theirs, 'link/file'), 'x', { mode: 0o600 }), UNSAFE);
    assert.throws(() => makeDirectory(join(theirs, 'link/a/b'), { mode: 0o700 }), UNSAFE);
    mkdirSync(at('open'), { mode: 0o777 });
    makeDirectory(at('open'), { mode: 0o777 });
    mkdirSync(at('open/inner'));
    assert.throws(() => replaceFile(at('open/inner/file'), 'x', { mode: 0o600 }), UNSAFE);
  });

  test('SECURITY: nothing is made through a directory that a group of others may write to', () => {
    mkdirSync(at('shared/inner'), { recursive: true });
    chownSync(at('shared'), 0, OTHER.gid);
    for (const [mode, refused] of [
      [0o2775, true],
      [0o3775, false], // the sticky bit keeps them off what is root's
      [0o755, false],
    ] as const) {
      chmodSync(at('shared'), mode);
      const make = () => replaceFile(at('shared/inner/file'), 'x', { mode: 0o600 });
      if (refused) assert.throws(make, UNSAFE);
      else make();
    }
    chownSync(at('shared'), 0, 0);
    chmodSync(at('shared'), 0o775);
    replaceFile(at('shared/inner/file'), 'x', { mode: 0o600 });
  });

  test('SECURITY: a directory is named without the links that root made, and not where another could make one', () => {
    mkdirSync(at('disk/real'), { recursive: true });
    symlinkSync('disk', at('absolute'));
    symlinkSync(at('absolute/real'), at('named'));
    symlinkSync('../named', at('disk/round'));
    const real = realDirectory(directory);
    assert.equal(realDirectory(at('named')), join(real, 'disk/real'));
    assert.equal(realDirectory(at('disk/round/new/deep')), join(real, 'disk/real/new/deep'));
    assert.equal(realDirectory(`${at('named')}/../x/`), join(real, 'x'), 'as the words say');
    symlinkSync('loop', at('loop'));
    assert.throws(() => realDirectory(at('loop')), UNSAFE);
    symlinkSync(target, join(theirs, 'link'));
    assert.throws(() => realDirectory(join(theirs, 'link')), UNSAFE, 'root’s link in a directory of another');
    symlinkSync(target, at('left'));
    lchownSync(at('left'), OTHER.uid, OTHER.gid);
    assert.throws(() => realDirectory(at('left/below')), UNSAFE, 'another’s link');
    mkdirSync(at('open'));
    chmodSync(at('open'), 0o777);
    symlinkSync(target, at('open/link'));
    assert.throws(() => realDirectory(at('open/link')), UNSAFE, 'where anybody could put another');
  });

  test('a link that root made leads on', () => {
    mkdirSync(at('real'), { mode: 0o700 });
    symlinkSync('real', at('named'));
    replaceFile(at('named/file'), 'x', { mode: 0o600 });
    assert.equal(readFileSync(at('real/file'), 'utf8'), 'x');
    closeDirectory(at('named'));
    assert.equal(look(at('real')), '0:0 700');
  });

  test('SECURITY: a socket is given and asked only where it is one, and of the account whose directory it lies in', async () => {
    const listen = async (path: string) => {
      const server = createServer((socket) => socket.end());
      await new Promise<void>((resolve) => server.listen(path, resolve));
      return server;
    };
    const [own, root] = [await listen(join(theirs, 'own')), await listen(at('root'))];
    try {
      giveSocket(join(theirs, 'own'), { mode: 0o660, owner: OTHER });
      assert.equal(look(join(theirs, 'own')), '64321:64321 660');
      assert.ok(await withOwnSocket(join(theirs, 'own'), async (name) => statSync(name).isSocket()));
      symlinkSync(at('root'), join(theirs, 'link'));
      symlinkSync(join(target, 'file'), join(theirs, 'file'));
      for (const name of ['link', 'file']) {
        assert.throws(() => giveSocket(join(theirs, name), { mode: 0o666, owner: OTHER }), UNSAFE);
        assert.throws(() => withOwnSocket(join(theirs, name), async () => assert.fail('it is not asked')), UNSAFE);
      }
      chownSync(join(theirs, 'own'), 0, 0);
      assert.throws(() => withOwnSocket(join(theirs, 'own'), async () => assert.fail('it is not asked')), UNSAFE);
    } finally {
      own.close();
      root.close();
    }
  });

  test('what another account left is read only where it is a plain file, without waiting', async () => {
    writeFileSync(join(theirs, 'plain'), 'text');
    assert.equal(readPlainFile(join(theirs, 'plain'), 10), 'text');
    assert.equal(readPlainFile(join(theirs, 'none'), 10), null);
    assert.throws(() => readPlainFile(join(theirs, 'plain'), 3), UNSAFE);
    // A file that says to be empty.
    assert.ok((readPlainFile('/proc/self/maps', 1024 ** 2) ?? '').length > 100);
    assert.throws(() => readPlainFile('/proc/self/maps', 100), UNSAFE);
    await run('mkfifo', [join(theirs, 'pipe')]);
    symlinkSync(join(target, 'file'), join(theirs, 'link'));
    for (const name of ['pipe', 'link']) assert.throws(() => readPlainFile(join(theirs, name), 100), UNSAFE);
  });

  test('SECURITY: what root alone may have written is read where no other account could have put it, or another in its place', async () => {
    const refused = (path: string, why: string) => assert.throws(() => readOwnFile(path), UNSAFE, why);
    const data = makeDirectory(at('data'), { mode: 0o700 });
    const file = join(data, 'file');
    assert.equal(readOwnFile(join(data, 'missing/deep/file')), null);
    assert.equal(readOwnFile(file), null);
    replaceFile(file, 'text', { mode: 0o600 });
    for (const mode of [0o600, 0o644]) {
      chmodSync(file, mode);
      assert.equal(readOwnFile(file), 'text');
    }
    for (const mode of [0o664, 0o646]) {
      chmodSync(file, mode);
      refused(file, mode.toString(8));
    }
    replaceFile(file, 'text', { mode: 0o600, owner: OTHER });
    refused(file, 'another’s file');
    rmSync(file);
    symlinkSync(join(target, 'file'), file);
    refused(file, 'a link');
    rmSync(file);
    await run('mkfifo', [file]);
    refused(file, 'a pipe');
    rmSync(file);
    // The directory, or one above: whether there is a file or not, and though root's own lies below it, closed.
    const inner = join(theirs, 'deep/inner');
    mkdirSync(inner, { recursive: true, mode: 0o700 });
    for (const directory of [theirs, join(theirs, 'deep'), inner, join(theirs, 'missing')])
      refused(join(directory, 'file'), directory);
    writeFileSync(join(inner, 'file'), 'text', { mode: 0o600 });
    refused(join(inner, 'file'), 'below another’s');
    const above = makeDirectory(at('above'), { mode: 0o755 });
    makeDirectory(join(above, 'data'), { mode: 0o700 });
    replaceFile(join(above, 'data/file'), 'text', { mode: 0o600 });
    assert.equal(readOwnFile(join(above, 'data/file')), 'text');
    chmodSync(above, 0o1777);
    assert.equal(readOwnFile(join(above, 'data/file')), 'text', 'the sticky bit keeps others off the directory');
    chmodSync(above, 0o777);
    refused(join(above, 'data/file'), 'where anybody could put another directory');
    chmodSync(above, 0o1777);
    linkSync(join(above, 'data/file'), join(above, 'file'));
    refused(join(above, 'file'), 'where anybody could have given it its name');
  });

  test('SECURITY: a tree is removed, and nothing that is linked from it, though its owner changes it meanwhile', async () => {
    const swap = (name: string) => {
      // What `mv` and `ln -s` do, as fast as they can.
      try {
        renameSync(join(theirs, name), join(theirs, `${name}-aside`));
        symlinkSync(target, join(theirs, name));
      } catch {
        // It is gone already.
      }
    };
    for (let index = 0; index < 200; index++) {
      mkdirSync(join(theirs, `d${index}`, 'deep'), { recursive: true });
      writeFileSync(join(theirs, `d${index}`, 'file'), '');
    }
    symlinkSync(target, join(theirs, 'link'));
    const removing = removeTree(theirs).catch(() => {}); // it may find what was not there when it looked
    for (let index = 0; index < 200; index++) {
      swap(`d${index}`);
      if (index % 20 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await removing;
    await removeTree(theirs);
    assert.equal(existsSync(theirs), false);
  });
});
