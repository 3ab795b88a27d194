import assert from 'node:assert/strict';
import { chmodSync, lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { Apt } from '../../../src/kit/debian/apt.ts';
import { codeOf } from '../../../src/kit/errors.ts';
import { run } from '../../../src/kit/process.ts';
import { ImageSource } from '../../../src/platform/engines/image/build.ts';
import { choiceOf, engineImages, updateEngineImage } from '../../../src/platform/engines/image/image.ts';
import { FILES_OF, PACKAGES, PROGRAMS } from '../../../src/platform/engines/image/packages.ts';
import { inEmptyNetwork, NETWORK_SKIP, source } from '../../support/empty-network.ts';
import { PackageRepository, type TestPackage } from '../../support/package-repository.ts';
import { silentLog } from '../../support/postgresql.ts';

describe('packages by their signatures', { skip: NETWORK_SKIP, timeout: 120_000 }, () => {
  let repository: PackageRepository;
  before(() => {
    repository = new PackageRepository();
  });
  after(() => repository.remove());

  test('SECURITY 39: what is fetched lies where nobody but root writes, and so does the index', async () => {
    repository.offer([{ name: 'one', version: '1' }]);
    const apt = await Apt.open({ sources: [repository.line()] });
    try {
      const [file = ''] = await apt.fetch(['one']);
      const home = dirname(dirname(file));
      for (const path of [home, join(home, 'lists'), dirname(file), file]) {
        const { uid, mode } = lstatSync(path);
        assert.deepEqual([uid, mode & 0o022], [0, 0], path);
      }
      // Sources can have passwords.
      assert.equal(statSync(join(home, 'sources.list')).mode & 0o077, 0);
    } finally {
      await apt.close();
    }
  });

  test('SECURITY 39: an index that nobody signed, or another key, is refused, whatever the machine lets its own apt do', async () => {
    repository.offer([{ name: 'one', version: '1' }], { signed: false });
    const other = new PackageRepository();
    try {
      const seen = (await inEmptyNetwork(`
        import { writeFileSync } from 'node:fs';
        import { Apt } from ${source('kit/debian/apt.ts')};
        execute('mount', '-t', 'tmpfs', 'tmpfs', '/etc/apt/apt.conf.d');
        writeFileSync('/etc/apt/apt.conf.d/99site', 'APT::Get::AllowUnauthenticated "true"; Acquire::AllowInsecureRepositories "true";');
        const tried = async (line) => {
          try {
            const apt = await Apt.open({ sources: [line] });
            await apt.fetch(['one']).finally(() => apt.close());
            return 'fetched';
          } catch (error) {
            return String(error.message);
          }
        };
        const first = await tried(${JSON.stringify(repository.line())});
        const trusted = await tried(${JSON.stringify(repository.line().replace(/\[.*\] /, '[trusted=yes] '))});
        console.log(JSON.stringify({ first, trusted }));`)) as { first: string; trusted: string };
      assert.match(seen.first, /is not signed/);
      // So the repository is one that could be fetched from.
      assert.equal(seen.trusted, 'fetched');
      repository.offer([{ name: 'one', version: '1' }]);
      await assert.rejects(Apt.open({ sources: [repository.line(other.keyring)] }), /NO_PUBKEY|is not signed/);
    } finally {
      other.remove();
    }
  });

  test('SECURITY 39: a stack is signed by its distribution’s keys, not by any that the machine trusts', async () => {
    repository.offer([]);
    const web = join(repository.directory, 'debian/dists');
    for (const suite of ['bookworm', 'bookworm-security'])
      repository.sign(join(repository.directory, 'Release'), join(web, suite, 'InRelease'));
    const said = await inEmptyNetwork(`
      import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
      import { createServer } from 'node:http';
      import { buildStack } from ${source('cell/stack/build.ts')};
      import { releaseOf } from ${source('cell/stack/packages.ts')};
      for (const directory of ['trusted.gpg.d', 'sources.list.d'])
        execute('mount', '-t', 'tmpfs', 'tmpfs', '/etc/apt/' + directory);
      copyFileSync(${JSON.stringify(repository.keyring)}, '/etc/apt/trusted.gpg.d/vendor.gpg');
      const server = createServer(({ url }, response) => {
        try {
          response.end(readFileSync(${JSON.stringify(repository.directory)} + url));
        } catch {
          response.writeHead(404).end();
        }
      }).listen(0, '127.0.0.1');
      await new Promise((resolve) => server.once('listening', resolve));
      const mirror = 'http://127.0.0.1:' + server.address().port + '/debian';
      writeFileSync('/etc/apt/sources.list.d/mirror.list', 'deb ' + mirror + ' bookworm main\\ndeb ' + mirror + ' bookworm-security main\\n');
      const directory = mkdtempSync('/tmp/cupola-stack-');
      mkdirSync(directory + '/rootfs');
      const said = await buildStack(directory + '/rootfs', 'debian12', releaseOf('debian12'), () => {}).then(() => 'built', (error) => error.message);
      rmSync(directory, { recursive: true });
      server.close();
      console.log(JSON.stringify(said));`);
    assert.match(String(said), /NO_PUBKEY|is not signed/);
  });
});

describe('the image of the engines, made of packages', { skip: NETWORK_SKIP, timeout: 120_000 }, () => {
  let repository: PackageRepository;
  let directory: string;
  before(() => {
    repository = new PackageRepository();
  });
  after(() => repository.remove());
  beforeEach(() => {
    directory = mkdtempSync('/tmp/cupola-images-');
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  const says = '#!/bin/sh\nexit 0\n';
  /** All that an image needs, each program a script. */
  function all(version: string, natsSays = says): TestPackage[] {
    const programs = PROGRAMS.map(([program = '']) =>
      program.startsWith('/') ? program.slice(1) : `usr/bin/${program}`,
    );
    const scripts = Object.fromEntries(programs.map((path) => [path, path.endsWith('nats-server') ? natsSays : says]));
    const shell = readFileSync('/bin/busybox');
    const base = { 'usr/bin/sh': shell, 'usr/lib/os-release': 'ID=test\n', 'usr/bin/given': says, 'etc/shadow': 'x' };
    return [...Object.keys(PACKAGES), ...FILES_OF].map((name) =>
      name === 'base-files'
        ? { name, version, files: { ...base, ...scripts }, modes: { 'usr/bin/given': 0o6775 } }
        : { name, version },
    );
  }
  const update = () =>
    updateEngineImage({ directory, log: silentLog, source: () => ImageSource.open({ sources: [repository.line()] }) });

  test('BSH-07: has what its packages have, less what would give rights, with its list; the same packages are the same image', async () => {
    repository.offer(all('1'));
    const image = await update();
    assert.deepEqual(image.packages.map(({ name }) => name).sort(), [...Object.keys(PACKAGES), ...FILES_OF].sort());
    assert.equal(lstatSync(join(image.root, 'usr/bin/given')).mode & 0o7777, 0o755);
    assert.deepEqual(readdirSync(join(image.root, 'etc')), ['os-release']);
    const installed = await run('dpkg-query', ['--admindir', join(image.root, 'var/lib/dpkg'), '--show']);
    assert.match(installed, /^haproxy\t1$/m);
    assert.equal((await update()).digest, image.digest);
    assert.deepEqual(choiceOf(directory, undefined), { image: image.digest, former: null });
  });

  test('BSH-07: newer packages are another image, and the former stays; SECURITY 39: older ones are refused', async () => {
    repository.offer(all('1'));
    const first = await update();
    repository.offer(all('1.1'));
    const second = await update();
    assert.deepEqual(choiceOf(directory, undefined), { image: second.digest, former: first.digest });
    repository.offer(all('1.1~rc1'));
    await assert.rejects(update(), { code: 'engine_image_older' });
    assert.deepEqual(choiceOf(directory, undefined), { image: second.digest, former: first.digest });
    assert.equal((await engineImages(directory)).length, 2);
  });

  test('one whose engine does not start is none, and the one in use stays', async () => {
    repository.offer(all('1'));
    const { digest } = await update();
    repository.offer(all('2', '#!/bin/sh\nexit 1\n'));
    await assert.rejects(update(), (error: Error) => codeOf(error.cause) === 'engine_image_invalid');
    assert.deepEqual(
      readdirSync(directory).filter((name) => !name.endsWith('.json')),
      [digest],
    );
    assert.equal(choiceOf(directory, undefined)?.image, digest);
  });

  test('one that is damaged is told, and does not keep the others from being found', async () => {
    repository.offer(all('1'));
    const first = await update();
    repository.offer(all('2'));
    const second = await update();
    chmodSync(first.root, 0o777);
    const damaged: string[] = [];
    const found = await engineImages(directory, (digest, problem) => damaged.push(`${digest} ${problem}`));
    assert.deepEqual(
      found.map(({ digest }) => digest),
      [second.digest],
    );
    assert.match(damaged.join(), new RegExp(`^${first.digest} .*not root's alone`));
  });
});
