import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import {
  lchownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { CredentialDirectories } from '../../../src/cell/identity/credentials.ts';
import { type ProcessIdentity, run, terminate } from '../../../src/kit/process.ts';
import type { Account } from '../../../src/platform/account.ts';
import { components } from '../../../src/platform/components/all.ts';
import type { Component } from '../../../src/platform/components/component.ts';
import { clusterPlacesOf } from '../../../src/platform/components/postgresql.ts';
import { clusterOf } from '../../../src/platform/engines/postgresql/clusters.ts';
import { versionsIn } from '../../../src/platform/engines/postgresql/programs.ts';
import { type TestParts, testParts } from '../../support/component-parts.ts';

/** A component that was broken into puts links where root comes by at its next start; root is to change nothing at their ends. */
describe('SECURITY: links in the directories of a component', {
  skip: process.getuid?.() === 0 ? false : 'needs root',
}, () => {
  let made: TestParts;
  let target: string;
  let untouched: string;
  const running: ProcessIdentity[] = [];

  const find = (name: string): Component => components(made.parts).find((one) => one.name === name)!;
  const look = (): string =>
    ['.', ...readdirSync(target)]
      .map((name) => {
        const { uid, gid, mode } = statSync(join(target, name));
        return `${name} ${uid}:${gid} ${(mode & 0o7777).toString(8)}`;
      })
      .concat(readFileSync(join(target, 'file'), 'utf8'))
      .join('\n');

  /** As its account would: only where a directory is its own. `made` says how it was left by a version that let it. */
  const plant = (path: string, to: string, account: Account): void => {
    mkdirSync(dirname(path), { recursive: true });
    rmSync(path, { recursive: true, force: true });
    symlinkSync(to, path);
    lchownSync(path, account.uid, account.gid);
  };
  const start = async (name: string): Promise<void> => {
    // It may refuse to, or end because of what was planted: what it changed counts.
    await find(name)
      .start()
      .then(
        (identity) => running.push(identity),
        () => {},
      );
  };

  before(async () => {
    made = await testParts('zzv', 21_390);
  });
  beforeEach(() => {
    target = `${made.parts.layout.run}/target`;
    mkdirSync(target, { mode: 0o755 });
    writeFileSync(join(target, 'file'), 'as it was', { mode: 0o644 });
    untouched = look();
  });
  afterEach(async () => {
    await Promise.all(running.splice(0).map((identity) => terminate(identity, 0, 'SIGKILL')));
    rmSync(target, { recursive: true });
  });
  after(() => made.remove());

  test('whatever control puts into its own, root changes nothing there', async () => {
    const { layout, accounts } = made.parts;
    const state = `${layout.run}/control`;
    for (const name of ['blobs', 'router', 'tmp']) plant(`${state}/${name}`, target, accounts.control);
    lchownSync(state, accounts.control.uid, accounts.control.gid);
    plant(`${layout.run}/control-admin/admin.sock`, join(target, 'file'), accounts.control);
    await start('control');
    assert.equal(look(), untouched);
    rmSync(state, { recursive: true });
  });

  test('what engines are started from is written in directories of root’s, in the place of what an engine left', async () => {
    const { layout, accounts } = made.parts;
    const places = [
      ['listeners', 'router/ssh', [], accounts.control],
      ['nats', 'nats', ['cert.pem', 'key.pem', 'ca.pem', 'nats.conf'], accounts.nats],
      ['dns', 'dns', ['dnsmasq.conf'], accounts.dns],
      [
        'router',
        'router/certificates',
        ['front.pem', 'router.pem', 'instance-ca.pem', 'platform-ca.pem'],
        accounts.router,
      ],
    ] as const;
    for (const [component, directory, names, account] of places) {
      const path = `${layout.run}/${directory}`;
      for (const name of names) plant(join(path, name), join(target, 'file'), account);
      for (const name of names) plant(join(path, `${name}.new`), join(target, 'file'), account);
      if (names.length > 0) lchownSync(path, account.uid, account.gid);
      await start(component);
      assert.equal(look(), untouched, component);
      assert.equal(statSync(path).uid, 0, `${directory} is root’s`);
      assert.equal(statSync(path).mode & 0o027, 0, `${directory} can be changed by nobody else`);
      for (const name of names) {
        const { uid, gid, mode } = statSync(join(path, name));
        assert.deepEqual([uid, gid, mode & 0o777], [0, account.gid, 0o640], `${directory}/${name}`);
      }
    }
  });

  test('the listening socket that control serves lies where control can put nothing', async () => {
    const { layout, accounts } = made.parts;
    await start('listeners');
    const path = `${layout.run}/router/ssh/ssh.sock`;
    assert.deepEqual([statSync(dirname(path)).uid, statSync(dirname(path)).mode & 0o7777], [0, 0o710]);
    const { uid, gid, mode } = statSync(path);
    assert.deepEqual([uid, gid, mode & 0o777], [accounts.control.uid, accounts.router.gid, 0o660]);
  });

  test('PostgreSQL reads its configuration from a directory of root’s, whatever it puts into its own', async () => {
    const { layout, accounts } = made.parts;
    const data = clusterOf(clusterPlacesOf(layout, accounts.postgresql), versionsIn(null)[0]!).directory;
    await start('postgresql');
    assert.equal(running.length, 1, 'it runs');
    for (const identity of running.splice(0)) await terminate(identity, 10_000, 'SIGINT');
    const own = ['postgresql.conf', 'pg_hba.conf', 'pg_ident.conf'];
    for (const name of own) plant(join(data, name), join(target, 'file'), accounts.postgresql);
    await start('postgresql');
    assert.equal(running.length, 1, 'it runs again');
    assert.equal(look(), untouched);
    await find('postgresql').takeOver!(running[0]!);
    assert.equal(look(), untouched);
    // A link in the place of the lock, or of the whole directory.
    for (const identity of running.splice(0)) await terminate(identity, 10_000, 'SIGINT');
    plant(join(data, 'postmaster.pid'), join(target, 'file'), accounts.postgresql);
    await start('postgresql');
    assert.equal(look(), untouched);
  });

  test('PostgreSQL keeps nothing that a superuser’s session has set, neither where it runs nor from one start to the next', async () => {
    const { layout, accounts } = made.parts;
    const { uid, gid } = accounts.postgresql;
    const data = clusterOf(clusterPlacesOf(layout, accounts.postgresql), versionsIn(null)[0]!).directory;
    const query = async (...statements: string[]): Promise<string> => {
      const commands = statements.flatMap((statement) => ['-c', statement]);
      const args = [
        '-h',
        `${layout.run}/postgresql/socket`,
        '-U',
        'postgres',
        '-d',
        'postgres',
        '-X',
        '-q',
        '-A',
        '-t',
      ];
      return (await run('psql', [...args, ...commands], { account: { uid, gid }, cwd: '/', showWords: true })).trim();
    };
    const state = async (): Promise<string> =>
      query(
        "SELECT string_agg(setting, ',' ORDER BY name) FROM pg_settings WHERE name IN ('log_statement', 'jit_above_cost')",
      );
    await start('postgresql');
    const before = await state();
    await query("ALTER SYSTEM SET log_statement = 'all'", 'ALTER SYSTEM SET jit_above_cost = 7');
    await find('postgresql').takeOver!(running[0]!);
    assert.equal(await state(), before, 'it reads its configuration anew');
    await query("ALTER SYSTEM SET log_statement = 'all'", "ALTER SYSTEM SET listen_addresses = '127.0.0.1'");
    for (const identity of running.splice(0)) await terminate(identity, 10_000, 'SIGINT');
    await start('postgresql');
    assert.equal(await state(), before, 'it was started again');
    assert.equal(await query('SHOW listen_addresses'), '');
    // What would keep it from starting, too.
    for (const identity of running.splice(0)) await terminate(identity, 10_000, 'SIGINT');
    rmSync(join(data, 'postgresql.auto.conf'), { force: true });
    mkdirSync(join(data, 'postgresql.auto.conf'));
    await start('postgresql');
    assert.equal(running.length, 1, 'it runs');
  });

  test('HLT-03: PostgreSQL starts though a process has the number that a killed one left in its locks', async () => {
    const { layout, accounts } = made.parts;
    const { uid, gid } = accounts.postgresql;
    await start('postgresql');
    const socket = `${layout.run}/postgresql/socket/.s.PGSQL.5432.lock`;
    const data = clusterOf(clusterPlacesOf(layout, accounts.postgresql), versionsIn(null)[0]!).directory;
    const locks = [join(data, 'postmaster.pid'), socket];
    const left = locks.map((path) => [path, readFileSync(path, 'utf8')] as const);
    for (const identity of running.splice(0)) await terminate(identity, 10_000, 'SIGINT');
    const other = spawn('sleep', ['60'], { uid, gid, cwd: '/' });
    try {
      for (const [path, text] of left) {
        writeFileSync(path, text.replace(/^\d+/, String(other.pid)), { mode: 0o600 });
        lchownSync(path, uid, gid);
      }
      await start('postgresql');
      assert.equal(running.length, 1, 'it runs');
      assert.equal(other.exitCode, null, 'and the other process too');
    } finally {
      other.kill('SIGKILL');
    }
  });

  test('an instance’s certificate is renewed in its directory, not where a link there leads', async () => {
    const { layout, accounts } = made.parts;
    const directories = new CredentialDirectories(`${layout.run}/identities`);
    const { uid } = accounts.nats;
    await directories.prepare('one');
    await directories.write('one', { cert: 'first', key: 'first key' }, uid);
    const path = directories.pathOf('one');
    for (const name of ['instance.crt', 'instance.key', '.instance.key', '.instance.crt', 'instance.key.new']) {
      plant(join(path, name), join(target, 'file'), accounts.nats);
    }
    await directories.write('one', { cert: 'second', key: 'second key' }, uid);
    assert.equal(look(), untouched);
    assert.equal(readFileSync(join(path, 'instance.key'), 'utf8'), 'second key');
    renameSync(path, `${path}-aside`);
    plant(path, target, accounts.nats);
    await assert.rejects(directories.write('one', { cert: 'third', key: 'third key' }, uid));
    await directories.remove('one');
    assert.equal(look(), untouched);
  });
});
