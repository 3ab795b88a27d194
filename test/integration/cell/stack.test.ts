import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { localeOf } from '../../../src/cell/stack/packages.ts';
import { ensureStack, type Stack, stackRoot } from '../../../src/cell/stack/stack.ts';
import { Logger } from '../../../src/kit/log.ts';
import { run } from '../../../src/kit/process.ts';
import { GARDEN_SKIP, STACKS } from '../../support/garden.ts';

const log = new Logger('stack', {}, () => {});
const BUILD = process.env['CUPOLA_TEST_BUILD_STACK'] === '1';

describe('the stack', { skip: BUILD ? false : GARDEN_SKIP }, () => {
  let directory = STACKS;
  let stack: Stack;
  before(async () => {
    if (BUILD) directory = await mkdtemp(join(tmpdir(), 'garden-stack-'));
    stack = await ensureStack({ directory, name: 'debian12', log });
  });
  after(async () => {
    if (BUILD) await rm(directory, { recursive: true });
  });

  test('CTR-04: it has a name and a version, and is not built twice', async () => {
    assert.match(stack.version, /^\d{8}-[0-9a-f]{12}$/);
    assert.equal(stack.rootfs, stackRoot(directory, 'debian12'));
    assert.deepEqual(await ensureStack({ directory, name: 'debian12', log }), stack);
    await assert.rejects(ensureStack({ directory, name: 'other', log }), { code: 'stack_unknown' });
  });

  test('CTR-03: no set-id file, no device, no cache, no service, no remote access', async () => {
    const found = await run('find', [stack.rootfs, '(', '-type', 'f', '-perm', '/6000', ')', '-o', '-type', 'b,c']);
    assert.equal(found, '');
    for (const path of ['var/lib/apt/lists', 'var/cache/apt', 'var/log', 'dev']) {
      assert.deepEqual(await readdir(join(stack.rootfs, path)), [], path);
    }
    const documents = await run('find', [join(stack.rootfs, 'usr/share/doc'), '-type', 'f', '!', '-name', 'copyright']);
    assert.equal(documents, '', 'but under which licence a package is');
    for (const path of ['usr/sbin/sshd', 'usr/sbin/cron', 'usr/bin/gcc', 'usr/bin/python3']) {
      assert.equal(existsSync(join(stack.rootfs, path)), false, path);
    }
  });

  test('CTR-03: it has the locale that its containers are told, and nothing of what that was made of', async () => {
    // Nothing of it may write: there is no /dev either.
    const inside = (LANG: string, script: string) =>
      run('chroot', [stack.rootfs, 'sh', '-c', script], { env: { PATH: '/usr/sbin:/usr/bin:/bin', LANG } });
    const sorted = "printf 'b\\nA\\na\\n' | sort | tr -d '\\n'";
    const locale = localeOf('debian12');
    assert.equal(await inside(locale, 'locale charmap'), 'UTF-8\n');
    assert.doesNotMatch(await inside(locale, 'locale 2>&1'), /Cannot set/);
    assert.match(await inside('xx_XX.UTF-8', 'locale 2>&1'), /Cannot set/, 'it says so of one that is not there');
    assert.equal(await inside(locale, sorted), 'aAb');
    assert.equal(await inside('C.UTF-8', sorted), 'Aab');
    assert.deepEqual((await readdir(join(stack.rootfs, 'usr/lib/locale'))).sort(), ['C.utf8', 'en_US.utf8']);
    for (const path of ['usr/share/i18n', 'usr/sbin/locale-gen'])
      assert.equal(existsSync(join(stack.rootfs, path)), false, path);
  });

  test('vcap is user 2000 and its home is private', async () => {
    assert.match(
      await readFile(join(stack.rootfs, 'etc/passwd'), 'utf8'),
      /^vcap:x:2000:2000::\/home\/vcap:\/bin\/bash$/m,
    );
    const { uid, gid, mode } = await stat(join(stack.rootfs, 'home/vcap'));
    assert.deepEqual([uid, gid, mode & 0o777], [2000, 2000, 0o750]);
    assert.equal((await stat(join(stack.rootfs, 'tmp'))).mode & 0o7777, 0o1777);
  });

  test('it tells nothing of the machine it was built on, except which authorities it trusts', async () => {
    for (const path of ['etc/hostname', 'etc/resolv.conf', 'etc/machine-id', 'etc/apt/sources.list']) {
      assert.equal(await readFile(join(stack.rootfs, path), 'utf8'), '', path);
    }
    // How the machine's apt gets to its mirror may have a password.
    const settings = join(stack.rootfs, 'etc/apt/apt.conf.d');
    for (const name of await readdir(settings))
      assert.doesNotMatch(await readFile(join(settings, name), 'utf8'), /^Acquire::(https?::Proxy|Check-)/im, name);
    const bundle = await readFile(join(stack.rootfs, 'etc/ssl/certs/ca-certificates.crt'), 'utf8');
    const local = '/usr/local/share/ca-certificates';
    for (const name of await readdir(local).catch(() => [])) {
      if (!name.endsWith('.crt')) continue;
      const first = (await readFile(join(local, name), 'utf8')).match(
        /BEGIN CERTIFICATE-----\n([^\n]+\n[^\n]+\n)/,
      )?.[1];
      assert.ok(first && bundle.includes(first), `${name} is trusted`);
    }
  });

  test('one that lies built on the same file system is taken as it is, and goes without it', async () => {
    const own = await mkdtemp(join(directory, '.own.building-'));
    try {
      const taken = await ensureStack({ directory: own, name: 'debian12', cache: directory, log });
      assert.deepEqual({ ...taken, rootfs: '' }, { ...stack, rootfs: '' });
      const [here, there] = await Promise.all([taken, stack].map(({ rootfs }) => stat(join(rootfs, 'bin/bash'))));
      assert.deepEqual([here!.ino, here!.mode], [there!.ino, there!.mode]);
    } finally {
      await rm(own, { recursive: true });
    }
    assert.ok((await stat(join(stack.rootfs, 'bin/bash'))).size > 0);
  });

  test('one of which not all can be shared is copied', async () => {
    const own = await mkdtemp(join(directory, '.own.building-'));
    const [cache, elsewhere] = [join(own, 'cache'), join(stackRoot(join(own, 'cache'), 'debian12'), 'srv')];
    await mkdir(cache, { mode: 0o700 }); // else nothing of it would be shared
    await mkdir(join(stackRoot(cache, 'debian12'), 'etc'), { recursive: true });
    await mkdir(elsewhere);
    await run('mount', ['-t', 'tmpfs', 'tmpfs', elsewhere]);
    try {
      await writeFile(join(stackRoot(cache, 'debian12'), 'etc/cupola-stack'), 'version=1\n');
      await writeFile(join(elsewhere, 'file'), 'on another file system');
      const said: string[] = [];
      const log = new Logger('stack', {}, (line) => said.push(line));
      const { rootfs } = await ensureStack({ directory: join(own, 'taken'), name: 'debian12', cache, log });
      assert.match(said.join(''), /could not be shared/);
      assert.equal(await readFile(join(rootfs, 'srv/file'), 'utf8'), 'on another file system');
      assert.equal((await stat(join(rootfs, 'etc/cupola-stack'))).nlink, 1);
    } finally {
      await run('umount', [elsewhere]);
      await rm(own, { recursive: true });
    }
  });
});
