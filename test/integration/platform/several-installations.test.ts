import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, type TestContext, test } from 'node:test';
import { run } from '../../../src/cli/run.ts';
import { makeDirectory } from '../../../src/kit/owned-files.ts';
import { identify } from '../../../src/kit/process.ts';
import { forgetInstallation, noteInstallation, requireOwnId } from '../../../src/platform/host/installations.ts';
import { settle } from '../../../src/platform/host/settle.ts';
import { installationId, layoutOf } from '../../../src/platform/layout.ts';
import { writeProcesses } from '../../../src/platform/processes.ts';
import { supervisorCommandOf } from '../../../src/platform/program.ts';
import type { PlatformSettings } from '../../../src/platform/settings/schema.ts';
import { SLOTS } from '../../../src/platform/settings/slots.ts';
import { saveSettings } from '../../../src/platform/settings/store.ts';

const OTHER = 64_321;

describe('installations of one machine', { skip: process.getuid?.() === 0 ? false : 'needs root' }, () => {
  let directory: string;
  let children: ChildProcess[];
  let made: PlatformSettings[];
  const at = (name: string): string => join(directory, name);
  const places = () => ({ run: '/run', notes: at('notes'), units: at('units'), standard: at('standard') });

  beforeEach(() => {
    directory = mkdtempSync('/tmp/cupola-several-');
    children = [];
    made = [];
  });
  afterEach(() => {
    for (const child of children) child.kill('SIGKILL');
    for (const { id } of made) {
      forgetInstallation({ id });
      rmSync(`/run/cupola-${id}`, { recursive: true, force: true });
      rmSync(`/run/cupola-${id}.lock`, { force: true });
    }
    rmSync(directory, { recursive: true });
  });

  /** A first `up`, as far as to settings and note; `real`: in the machine's own places, which commands look at. */
  async function install(name: string, real = false): Promise<PlatformSettings> {
    const settings = await settle({ dataDirectory: at(name) }, async () => {}, real ? undefined : places());
    made.push(settings);
    return settings;
  }

  /** One process, which is all that runs of it, and what its supervisor left. */
  function start(settings: PlatformSettings): ChildProcess {
    const layout = layoutOf(settings);
    makeDirectory(layout.run, { mode: 0o711 });
    const child = spawn('sleep', ['600'], { stdio: 'ignore' });
    children.push(child);
    writeProcesses(layout.processesFile, { nats: identify(child.pid!)! });
    writeFileSync(supervisorCommandOf(layout.run), `node\nmain.ts\n${settings.dataDirectory}\n`);
    return child;
  }

  /** Names of data directories for which the same addresses are preferred. */
  function sameChoice(count: number): string[] {
    const byChoice = new Map<number, string[]>();
    for (let index = 0; ; index += 1) {
      const name = `data-${index}`;
      const choice = createHash('sha256').update(at(name)).digest()[0]! % SLOTS;
      const names = byChoice.get(choice) ?? [];
      byChoice.set(choice, names);
      if (names.every((one) => installationId(at(one)) !== installationId(at(name)))) names.push(name);
      if (names.length === count) return names;
    }
  }

  /** What a command says to standard error, and its exit code. */
  async function command(t: TestContext, ...args: string[]): Promise<[code: number, err: string]> {
    let err = '';
    const write = (text: string): boolean => {
      err += text;
      return true;
    };
    const mocked = t.mock.method(process.stderr, 'write', write);
    const code = await run(args, { stdout: process.stdout, stderr: { write } });
    mocked.mock.restore();
    return [code, err];
  }

  test('SECURITY: what an account has put in the place of a data directory says nothing, and no command acts by it', async (t) => {
    const settings = await install('victim', true);
    const victim = start(settings);
    mkdirSync(at('theirs'));
    chownSync(at('theirs'), OTHER, OTHER);
    const data = at('theirs/new');
    // Where nothing lies yet, too.
    await assert.rejects(
      settle({ dataDirectory: data }, async () => {}, places()),
      { code: 'unsafe_path' },
    );
    mkdirSync(data);
    writeFileSync(join(data, 'settings.json'), JSON.stringify({ ...settings, dataDirectory: data }));
    for (const words of [['status'], ['destroy', '--yes'], ['up']]) {
      const [code, err] = await command(t, ...words, '--data', data);
      assert.equal(code, 1);
      assert.match(err, new RegExp(`leads through ${at('theirs')}, which others may change`));
    }
    // Root's own directory, with a file of another's or a link.
    renameSync(data, at('new'));
    chownSync(join(at('new'), 'settings.json'), OTHER, OTHER);
    const refused = async () => {
      for (const words of [['status'], ['down'], ['destroy', '--yes'], ['up']]) {
        const [code, err] = await command(t, ...words, '--data', at('new'));
        assert.equal(code, 1);
        assert.match(err, /settings\.json is (no plain file of root's|a link)/);
      }
    };
    await refused();
    rmSync(join(at('new'), 'settings.json'));
    symlinkSync(join(at('victim'), 'settings.json'), join(at('new'), 'settings.json'));
    await refused();
    assert.equal(victim.exitCode, null, 'the other installation goes on');
    assert.equal(victim.signalCode, null);
    assert.deepEqual(readdirSync(at('victim')), ['settings.json']);
  });

  test('a copy of a data directory ends nothing of the installation, and is not put up beside it', async (t) => {
    const settings = await install('data', true);
    const running = start(settings);
    const note = `/etc/cupola/${settings.id}`;
    cpSync(at('data'), at('copy'), { recursive: true });
    for (const words of [['rotate'], ['down'], ['destroy', '--yes'], ['upgrade'], ['up']]) {
      const [code, err] = await command(t, ...words, '--data', at('copy'));
      assert.equal(code, 1);
      for (const word of [at('copy'), at('data'), note, 'nothing was changed']) assert.ok(err.includes(word), err);
    }
    assert.deepEqual([running.exitCode, running.signalCode], [null, null]);
    assert.equal(readFileSync(note, 'utf8'), `${at('data')}\n`);
    assert.ok(existsSync(join(at('copy'), 'settings.json')));
  });

  test('a data directory whose three letters are another’s is refused before anything is made', async (t) => {
    const first = '/var/lib/cupola-atkc264';
    const second = '/var/lib/cupola-atkc312';
    assert.equal(installationId(first), installationId(second));
    t.after(() => rmSync(second, { recursive: true, force: true }));
    noteInstallation({ id: installationId(first), dataDirectory: first }, places());
    await assert.rejects(
      settle({ dataDirectory: second }, async () => {}, places()),
      {
        code: 'id_taken',
        message: new RegExp(`${second}.*${first}`),
      },
    );
    assert.equal(existsSync(second), false);
    assert.throws(() => noteInstallation({ id: 'rru', dataDirectory: second }, places()), { code: 'id_taken' });
  });

  test('a data directory that was moved is put up after its note is deleted, as the error says', async () => {
    const { id } = await install('data');
    renameSync(at('data'), at('moved'));
    const again = () => settle({ dataDirectory: at('moved') }, async () => {}, places());
    await assert.rejects(again(), { code: 'id_taken', message: new RegExp(`delete ${at('notes')}/${id} and call`) });
    rmSync(at(`notes/${id}`));
    assert.equal((await again()).dataDirectory, at('moved'));
    assert.equal(readFileSync(at(`notes/${id}`), 'utf8'), `${at('moved')}\n`);
  });

  test('whose id it is, say a note, what its supervisor left and its unit; also by a link of root’s', async () => {
    const settings = await install('data');
    const { id } = settings;
    const ask = (name: string) => requireOwnId({ id, dataDirectory: at(name) }, places());
    const taken = { code: 'id_taken' };
    symlinkSync(at('data'), at('named'));
    const note = at(`notes/${id}`);
    writeFileSync(note, `${at('named')}\n`);
    ask('data');
    assert.throws(() => ask('copy'), taken);
    rmSync(note);
    ask('copy');
    start(settings);
    ask('data');
    assert.throws(() => ask('copy'), taken);
    rmSync(`/run/cupola-${id}`, { recursive: true });
    mkdirSync(at('units'));
    writeFileSync(at(`units/cupola-${id}.service`), `ConditionPathExists=${at('data')}/settings.json\n`);
    ask('data');
    assert.throws(() => ask('copy'), taken);
  });

  test('addresses are those of no other, though that is down, and of several that come at once', async () => {
    const names = sameChoice(4);
    const first = await install(names[0]!);
    const all = [first, ...(await Promise.all(names.slice(1).map((name) => install(name))))];
    assert.equal(new Set(all.map(({ overlay }) => overlay)).size, names.length);
    for (const { dataDirectory, overlay } of all) {
      const { overlay: again } = await settle({ dataDirectory }, async () => {}, places());
      assert.equal(again, overlay, 'and stay');
    }
  });

  test('one that an earlier version gave the addresses of another comes up when that is down', async () => {
    const [first, second] = sameChoice(2) as [string, string]; // of different ids
    const one = await install(first);
    const two = await install(second);
    const { overlay, gateway, resolverAddress, uidRangeBase } = one;
    saveSettings({ ...two, overlay, gateway, resolverAddress, uidRangeBase });
    const up = (name: string) => settle({ dataDirectory: at(name) }, async () => {}, places());
    await up(second);
    const running = start(one);
    await assert.rejects(up(second), {
      code: 'addresses_taken',
      message: new RegExp(`${at(second)}.* of ${at(first)}, which runs.*\\./cupola down --data ${at(first)}`),
    });
    await up(first);
    const both = start({ ...two, overlay });
    await up(second);
    for (const child of [running, both]) child.kill('SIGKILL');
  });
});
