import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { prepareCellProxy } from '../../../src/cell/proxy/index.ts';
import { targetsMapOf } from '../../../src/cell/proxy/settings.ts';
import { Progress } from '../../../src/cli/progress.ts';
import { stopForGood } from '../../../src/cli/stopping.ts';
import { stayingSupervisor } from '../../../src/cli/up/leaving.ts';
import { startAndWait, startSupervisor, supervisorMain } from '../../../src/cli/up/start.ts';
import { goBack } from '../../../src/cli/up/upgrade.ts';
import { lockFile } from '../../../src/kit/lock.ts';
import { identify, isAlive, type ProcessIdentity, processesWith, signal } from '../../../src/kit/process.ts';
import { cellProxySettingsOf, routerSettingsOf } from '../../../src/platform/cell-settings.ts';
import { forgetInstallation, noteInstallation } from '../../../src/platform/host/installations.ts';
import { type Layout, layoutOf } from '../../../src/platform/layout.ts';
import { supervisorLockOf } from '../../../src/platform/program.ts';
import { saveSettings } from '../../../src/platform/settings/store.ts';
import { supervisorProcess } from '../../../src/platform/supervisor-client.ts';
import { PersistedRoutes } from '../../../src/router/persisted-routes.ts';
import { prepareRouter } from '../../../src/router/prepare.ts';
import { routesMapOf } from '../../../src/router/settings.ts';
import { inEmptyNetwork, NETWORK_SKIP, source } from '../../support/empty-network.ts';
import { ROOT } from '../../support/platform.ts';
import { testSettings } from '../../support/settings.ts';

describe('an installation whose supervisor does not run', { skip: NETWORK_SKIP }, () => {
  let data: string;
  let layout: Layout;

  before(() => {
    data = mkdtempSync('/tmp/cupola-down-');
    layout = layoutOf(testSettings({ id: 'zzy', dataDirectory: data, overlay: '10.231', gateway: '169.254.231.7' }));
    writeFileSync(join(data, 'settings.json'), JSON.stringify(layout.settings));
  });
  after(() => {
    for (const directory of [data, layout.run]) rmSync(directory, { recursive: true, force: true });
    rmSync('/run/cupola-zzy.lock', { force: true });
  });

  const program = () => `
    import { spawn, spawnSync } from 'node:child_process';
    import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
    import { closeRanges, ensureInstallation } from ${source('cell/network/host.ts')};
    import { identify } from ${source('kit/process.ts')};
    const addresses = () => [...execute('ip', '-o', '-4', 'address', 'show', 'dev', 'lo').matchAll(/inet ([\\d.]+)/g)].map(([, one]) => one).filter((one) => one !== '127.0.0.1');
    const rules = () => { try { return execute('nft', 'list', 'table', 'inet', 'cupola.machine'); } catch { return ''; } };
    const own = () => ({ addresses: addresses(), guarded: rules().includes('10.231.254.254') });
    const cupola = (...words) => spawnSync(${JSON.stringify(join(ROOT, 'cupola'))}, [...words, '--data', ${JSON.stringify(data)}], { encoding: 'utf8' });
  `;

  test('`down` ends what it has left, and takes its addresses and what guards them away', async () => {
    const { before, ran, again, alive, afterwards } = (await inEmptyNetwork(`${program()}
      mkdirSync(${JSON.stringify(layout.run)}, { recursive: true });
      await ensureInstallation(['10.231.254.1', '10.231.254.254'], '10.231.254.254', [{ address: '127.0.0.1', port: 3, accounts: [4001] }]);
      const before = own();
      const child = spawn('sleep', ['600'], { detached: true, stdio: 'ignore' });
      writeFileSync(${JSON.stringify(layout.processesFile)}, JSON.stringify({ nats: identify(child.pid) }));
      const ran = cupola('down').stdout.trim();
      const alive = identify(child.pid) !== null;
      const afterwards = own();
      await ensureInstallation(['10.231.254.254'], '10.231.254.254', []);
      const again = cupola('down').stdout.trim();
      console.log(JSON.stringify({ before, ran, again, alive, afterwards: [afterwards, own()] }));
      process.exit();`)) as Record<string, unknown>;
    assert.deepEqual(before, { addresses: ['10.231.254.1', '10.231.254.254'], guarded: true });
    assert.deepEqual([ran, again, alive], ['stopped', 'it was not running', false]);
    const none = { addresses: [], guarded: false };
    assert.deepEqual(afterwards, [none, none]);
  });

  test('`down` leaves the addresses and the ranges of its containers to another that runs at them, which an earlier version gave both', async () => {
    const other = layoutOf({ ...layout.settings, id: 'zzx', dataDirectory: join(data, 'other') });
    mkdirSync(other.settings.dataDirectory);
    saveSettings(other.settings);
    noteInstallation(other.settings);
    try {
      const [during, afterwards, alone] = (await inEmptyNetwork(`${program()}
        mkdirSync(${JSON.stringify(other.run)}, { recursive: true });
        await ensureInstallation(['10.231.254.1', '10.231.254.254'], '10.231.254.254', [{ address: '127.0.0.1', port: 3, accounts: [4001] }]);
        await closeRanges(['10.231.0.0/24']);
        const all = () => ({ ...own(), closed: execute('ip', 'route').includes('unreachable 10.231.0.0/24') });
        const before = all();
        const child = spawn('sleep', ['600'], { stdio: 'ignore' });
        writeFileSync(${JSON.stringify(other.processesFile)}, JSON.stringify({ nats: identify(child.pid) }));
        cupola('down');
        const afterwards = all();
        child.kill('SIGKILL');
        await new Promise((done) => child.once('exit', done));
        cupola('down');
        console.log(JSON.stringify([before, afterwards, all()]));
        process.exit();`)) as unknown[];
      const there = { addresses: ['10.231.254.1', '10.231.254.254'], guarded: true, closed: true };
      assert.deepEqual([during, afterwards], [there, there]);
      assert.deepEqual(alone, { addresses: [], guarded: false, closed: false });
    } finally {
      forgetInstallation(other.settings);
      rmSync(other.run, { recursive: true, force: true });
      rmSync(other.settings.dataDirectory, { recursive: true });
    }
  });

  test('`down` opens the ranges of its containers', async () => {
    const [during, afterwards] = (await inEmptyNetwork(`${program()}
      import { leftovers, machineState } from ${source('cli/machine-state.ts')};
      const before = await machineState();
      const more = async () => leftovers(before, await machineState()).filter((one) => one.includes('route'));
      await closeRanges(['10.231.0.0/24']);
      const during = await more();
      cupola('down');
      console.log(JSON.stringify([during, await more()]));
      process.exit();`)) as [string[], string[]];
    assert.match(during.join(), /^unreachable routes: unreachable 10\.231\.0\.0\/24 /);
    assert.deepEqual(afterwards, []);
  });

  test('SECURITY 33: after `down`, as after the machine starts, proxies begin without containers and the router without instances', async () => {
    const router = routerSettingsOf(layout, 1_000);
    const proxy = cellProxySettingsOf(layout, 0, { uid: 0, gid: 0 }, 1_000);
    const server = { instanceGuid: 'i1', address: '10.231.254.1', port: 443, http2: false, appGuid: 'a1', index: 0 };
    const table = {
      pools: [{ slot: 1, key: 'a1', servers: [server] }],
      routes: new Map([['a.example.org/', 1]]),
    };
    const begin = async () => {
      await new PersistedRoutes(router.stateDirectory).replace(table); // control's own, which it keeps
      const { configFile } = await prepareRouter(router);
      await prepareCellProxy(proxy);
      const routes = readFileSync(routesMapOf(router), 'utf8').trim();
      const target = readFileSync(targetsMapOf(proxy), 'utf8');
      return { routes, known: readFileSync(configFile, 'utf8').includes('server i1 '), target };
    };
    const nothing = { routes: 'a.example.org/ none', known: false, target: '' };
    const down = () => inEmptyNetwork(`${program()} cupola('down'); console.log('null'); process.exit();`);
    const boot = () => rmSync(layout.run, { recursive: true });
    for (const end of [down, boot]) {
      await begin();
      writeFileSync(targetsMapOf(proxy), 'i1 10.231.0.2|8080\n');
      const again = { routes: 'a.example.org/ be-00001', known: true, target: 'i1 10.231.0.2|8080\n' };
      assert.deepEqual(await begin(), again, 'what starts again goes on');
      await end();
      assert.deepEqual(await begin(), nothing, end.name);
      boot();
    }
  });

  test('a supervisor that cannot open the secrets changes nothing of the machine', async () => {
    writeFileSync(join(data, 'key'), `${Buffer.alloc(32, 1).toString('base64')}\n`);
    writeFileSync(layout.secretsFile, '{"sealed":"with another key"}');
    const answer = (await inEmptyNetwork(`${program()}
      const accounts = readFileSync('/etc/passwd', 'utf8');
      const { status, stdout } = spawnSync(process.execPath, [${source('platform/supervisor-main.ts')}, ${JSON.stringify(data)}], { encoding: 'utf8' });
      const shown = readFileSync('/proc/self/mountinfo', 'utf8').includes(${JSON.stringify(layout.run)});
      console.log(JSON.stringify({ failed: status !== 0, ...own(), shown, same: readFileSync('/etc/passwd', 'utf8') === accounts }));
      process.exit();`)) as Record<string, unknown>;
    assert.deepEqual(answer, { failed: true, addresses: [], guarded: false, shown: false, same: true });
  });

  test('no supervisor begins while a command keeps it down, though the machine was just booted', async () => {
    rmSync(layout.run, { recursive: true, force: true });
    {
      using stopped = await stopForGood(layout, 'destroy');
      assert.equal(stopped.how, 'did not run');
      assert.throws(() => lockFile(supervisorLockOf(layout.run), 'supervisor'), { code: 'locked' });
    }
    lockFile(supervisorLockOf(layout.run), 'supervisor')[Symbol.dispose]();
  });

  /** What stands in a supervisor's place: holds its lock and listens on its socket. `answer`: what it says of itself; null for nothing. */
  const standIn = (answer: string | null) => `
    import { rmSync } from 'node:fs';
    import { createServer } from 'node:http';
    import { lockFile } from ${source('kit/lock.ts')};
    lockFile(${JSON.stringify(supervisorLockOf(layout.run))}, 'supervisor');
    rmSync(${JSON.stringify(layout.supervisorSocket)}, { force: true });
    const server = createServer((request, response) => { const answer = ${answer}; if (answer) response.end(JSON.stringify(answer)); });
    server.listen(${JSON.stringify(layout.supervisorSocket)}, () => console.log('listens'));`;

  async function startStandIn(answer: string | null): Promise<ProcessIdentity> {
    mkdirSync(dirname(layout.supervisorSocket), { recursive: true });
    const child = spawn(process.execPath, ['--input-type=module', '-e', standIn(answer)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    return identify(child.pid!)!;
  }

  test('a supervisor that is stopped is killed, and all that it has left is ended', { timeout: 60_000 }, async (t) => {
    const supervisor = await startStandIn('{}');
    t.after(() => signal(supervisor, 'SIGKILL'));
    process.kill(supervisor.pid, 'SIGSTOP');
    const { ran, alive } = (await inEmptyNetwork(`${program()}
      const child = spawn('sleep', ['600'], { detached: true, stdio: 'ignore' });
      writeFileSync(${JSON.stringify(layout.processesFile)}, JSON.stringify({ nats: identify(child.pid) }));
      const ran = cupola('down');
      console.log(JSON.stringify({ ran, alive: identify(child.pid) !== null }));
      process.exit();`)) as { ran: { stdout: string; stderr: string }; alive: boolean };
    const said = [
      `the supervisor (process ${supervisor.pid}) does not answer, or does not end; it is killed\n`,
      'stopped\n',
    ];
    assert.deepEqual([ran.stderr, ran.stdout], said);
    assert.deepEqual([isAlive(supervisor), alive], [false, false]);
  });

  test('a supervisor that is stopped before it can answer is killed too', { timeout: 60_000 }, async (t) => {
    const supervisor = await startStandIn('{}');
    t.after(() => signal(supervisor, 'SIGKILL'));
    process.kill(supervisor.pid, 'SIGSTOP');
    rmSync(layout.supervisorSocket);
    using stopped = await stopForGood(layout, 'down', 500);
    assert.deepEqual([stopped.how, isAlive(supervisor)], ['killed', false]);
  });

  test('a supervisor that is killed is not started again by the unit that ran it', { timeout: 60_000 }, async () => {
    const { said, calls, after } = (await inEmptyNetwork(`${program()}
      import { existsSync } from 'node:fs';
      import { setTimeout as pause } from 'node:timers/promises';
      import { unitName } from ${source('platform/host/systemd.ts')};
      import { holderOf } from ${source('kit/lock.ts')};
      for (const place of ['/run/systemd', '/etc/systemd', '/usr/local/sbin']) { mkdirSync(place, { recursive: true }); execute('mount', '-t', 'tmpfs', 'none', place); }
      for (const place of ['/run/systemd/system', '/etc/systemd/system']) mkdirSync(place);
      writeFileSync('/etc/systemd/system/' + unitName({ id: 'zzy' }), '');
      // Restart=on-failure, and a stop that waits until that has ended.
      const unit = 'until [ -e stopped ] || "$0" --input-type=module -e "$1" 2>/dev/null; do sleep 0.2; done; rm runs';
      const systemctl = '#!/bin/sh\\necho "$@" >>/run/systemd/calls; : >/run/systemd/stopped; while [ -e /run/systemd/runs ]; do sleep 0.05; done\\n';
      writeFileSync('/usr/local/sbin/systemctl', systemctl, { mode: 0o755 });
      writeFileSync('/run/systemd/runs', '');
      mkdirSync(${JSON.stringify(dirname(layout.supervisorSocket))}, { recursive: true });
      const loop = spawn('/bin/sh', ['-c', unit, process.execPath, ${JSON.stringify(standIn('{}'))}], { cwd: '/run/systemd', stdio: ['ignore', 'pipe', 'inherit'] });
      await new Promise((done) => loop.stdout.once('data', done));
      const supervisor = () => holderOf(${JSON.stringify(supervisorLockOf(layout.run))});
      process.kill(supervisor().pid, 'SIGSTOP');
      const said = cupola('down').stdout;
      const calls = existsSync('/run/systemd/calls') ? readFileSync('/run/systemd/calls', 'utf8') : '';
      await pause(1_500);
      const after = supervisor();
      loop.kill('SIGKILL');
      if (after) process.kill(after.pid, 'SIGKILL');
      console.log(JSON.stringify({ said, calls, after }));
      process.exit();`)) as Record<string, unknown>;
    assert.deepEqual([said, after, calls], ['stopped\n', null, 'stop cupola-zzy.service\n']);
  });

  /** As `startStandIn`, started by what starts a supervisor of `up` again when it is killed. Gives the checkout it is the code of. */
  async function startGuarded(name: string, answer: string | null): Promise<string> {
    const project = writeStandIn(name, answer);
    mkdirSync(layout.logs, { recursive: true });
    mkdirSync(dirname(layout.supervisorSocket), { recursive: true });
    rmSync(layout.supervisorSocket, { force: true });
    startSupervisor(layout, process.execPath, project);
    while (!existsSync(layout.supervisorSocket)) await pause(20);
    return project;
  }

  function writeStandIn(name: string, answer: string | null): string {
    const project = join(data, name);
    mkdirSync(dirname(supervisorMain(project)), { recursive: true });
    writeFileSync(supervisorMain(project), standIn(answer));
    return project;
  }

  const guards = () => processesWith(0, layout.supervisorCommand);
  function endGuarded(): void {
    for (const one of [...guards(), supervisorProcess(layout) ?? []].flat()) signal(one, 'SIGKILL');
  }

  test('a supervisor that is killed is not started again by what guarded it, at `down` and `up`', {
    timeout: 60_000,
  }, async (t) => {
    t.after(endGuarded);
    const ways = {
      down: async () => (await stopForGood(layout, 'down'))[Symbol.dispose](),
      up: async () => assert.equal(await stayingSupervisor(layout, () => {}, 300), null),
    };
    for (const [name, kill] of Object.entries(ways)) {
      await startGuarded(name, status({ leaving: true }));
      if (name === 'down') process.kill(supervisorProcess(layout)!.pid, 'SIGSTOP');
      await kill();
      assert.deepEqual(guards(), [], name);
      assert.equal(supervisorProcess(layout), null, name);
    }
  });

  test('an upgrade whose supervisor does not answer goes back: it is killed, and the one of before started', {
    timeout: 90_000,
  }, async (t) => {
    t.after(endGuarded);
    const told = { pid: 1, project: writeStandIn('former', status({})), program: 'former', node: process.execPath };
    writeStandIn('former', status({ supervisor: told }));
    await startGuarded('new', null);
    const silent = supervisorProcess(layout)!;
    await goBack(layout, JSON.parse(status({ supervisor: told })), new Progress(1, false));
    assert.equal(isAlive(silent), false);
    assert.equal(guards().length, 1, 'nothing starts the new one again');
  });

  const status = (more: object): string =>
    JSON.stringify({
      ...{ ready: true, api: '', components: [], certificates: [], cells: [], rotation: null },
      supervisor: { pid: 1, project: '', program: '', node: '' },
      update: { outdated: [], problem: null, running: false },
      ...more,
    });

  test('`up` waits for a supervisor that ends, and for the end of one that answers no more', {
    timeout: 60_000,
  }, async (t) => {
    const told: string[] = [];
    const staying = (limitMs?: number) => stayingSupervisor(layout, (text) => told.push(text), limitMs);
    for (const answers of [true, false]) {
      const supervisor = await startStandIn(status({ leaving: true }));
      t.after(() => signal(supervisor, 'SIGKILL'));
      if (!answers) rmSync(layout.supervisorSocket);
      const found = staying();
      assert.equal(await Promise.race([found, pause(500, 'waits')]), 'waits');
      signal(supervisor, 'SIGKILL');
      assert.equal(await found, null);
    }
    assert.deepEqual(told, ['Waiting for the supervisor to end', 'Waiting for the supervisor to answer or end']);
    const stuck = await startStandIn(status({ leaving: true }));
    t.after(() => signal(stuck, 'SIGKILL'));
    assert.equal(await staying(500), null);
    assert.equal(isAlive(stuck), false, 'one that does not end is killed');
    const other = await startStandIn(status({}));
    t.after(() => signal(other, 'SIGKILL'));
    assert.equal((await staying())?.ready, true, 'one that stays is told');
  });

  test('`up` waits for a supervisor that was started again while it started one, and tells why the one it started ended', {
    timeout: 60_000,
  }, async (t) => {
    const start = () => startAndWait({ project: join(data, 'late'), layout, progress: new Progress(3, false) });
    const other = await startStandIn(status({}));
    t.after(() => signal(other, 'SIGKILL'));
    const socket = `${layout.supervisorSocket}.later`;
    renameSync(layout.supervisorSocket, socket);
    mkdirSync(layout.logs, { recursive: true });
    mkdirSync(dirname(supervisorMain(join(data, 'late'))), { recursive: true });
    writeFileSync(
      supervisorMain(join(data, 'late')),
      `import { Logger } from ${source('kit/log.ts')};
       new Logger('supervisor').error('an error', { error: new Error('it is full') });
       console.log('{}');
       process.exitCode = 1;`,
    );
    const started = start();
    assert.equal(await Promise.race([started, pause(1_500, 'waits')]), 'waits');
    renameSync(socket, layout.supervisorSocket);
    await started;
    signal(other, 'SIGKILL');
    while (isAlive(other)) await pause(20);
    await assert.rejects(start(), {
      code: 'supervisor_ended',
      message: /^the supervisor ended \(it is full\); its log is /,
    });
  });

  test('where resolv.conf may not be changed, `up` says so, and `destroy` removes the rest and is called again', async () => {
    const key = join(data, 'key');
    writeFileSync(key, 'secret');
    const answer = (await inEmptyNetwork(`${program()}
      import { installResolver } from ${source('platform/host/names.ts')};
      import { existsSync } from 'node:fs';
      const settings = JSON.parse(readFileSync(${JSON.stringify(join(data, 'settings.json'))}, 'utf8'));
      const conf = '/etc/resolv.conf';
      const mine = ${JSON.stringify(join(data, '..', 'resolv.conf-zzy'))};
      writeFileSync(mine, 'nameserver 192.0.2.53\\n');
      execute('mount', '--bind', mine, conf);
      const protect = (how) => execute('mount', '-o', 'remount,bind,' + how, conf);
      protect('ro');
      const refused = await installResolver(settings).catch(({ code, message }) => ({ code, message }));
      protect('rw');
      await installResolver(settings);
      protect('ro');
      const words = ({ status, stdout, stderr }) => ({ status, stdout, stderr });
      const first = words(cupola('destroy', '--yes'));
      const kept = [existsSync(${JSON.stringify(key)}), existsSync(${JSON.stringify(join(data, 'settings.json'))})];
      const up = words(cupola('up'));
      const supervisor = spawnSync(process.execPath, [${source('platform/supervisor-main.ts')}, ${JSON.stringify(data)}], { encoding: 'utf8' }).stdout;
      protect('rw');
      const second = words(cupola('destroy', '--yes'));
      const text = readFileSync(conf, 'utf8');
      execute('umount', conf);
      execute('rm', '-f', mine);
      console.log(JSON.stringify({ refused, first, kept, up, supervisor, second, text, there: existsSync(${JSON.stringify(data)}) }));
      process.exit();`)) as Record<string, never> & {
      first: { stderr: string };
      second: { stderr: string };
      supervisor: string;
    };
    const fixed =
      '/etc/resolv.conf cannot be changed: it is on a file system that is mounted read-only; mount it writable and try again';
    const { refused, first, kept, up, supervisor, second, text, there } = answer;
    assert.deepEqual(refused, { code: 'not_writable', message: fixed });
    const finishes = `./cupola destroy --yes --data ${data} finishes it`;
    assert.deepEqual(first, {
      ...{ status: 1, stdout: '' },
      stderr: `cupola: all is removed but for this: ${fixed}; then ${finishes}\n`,
    });
    assert.deepEqual(kept, [false, true]);
    const unfinished = `a destroy of ${data} did not finish, and data are gone; ${finishes}`;
    assert.deepEqual(up, { status: 1, stdout: '', stderr: `cupola: ${unfinished}\n` });
    assert.ok(supervisor.includes('destroy_unfinished') || supervisor.includes(unfinished), supervisor);
    assert.deepEqual({ ...second, stdout: '' }, { status: 0, stdout: '', stderr: '' });
    assert.deepEqual([text, there], ['nameserver 192.0.2.53\n', false]);
  });
});
