import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { stopForGood } from '../../../src/cli/commands/down.ts';
import { lockFile } from '../../../src/kit/lock.ts';
import { type Layout, layoutOf } from '../../../src/platform/layout.ts';
import { supervisorLockOf } from '../../../src/platform/program.ts';
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
    import { existsSync, readFileSync, writeFileSync } from 'node:fs';
    import { closeRanges, ensureInstallation } from ${source('cell/network/host.ts')};
    import { identify } from ${source('kit/process.ts')};
    const addresses = () => [...execute('ip', '-o', '-4', 'address', 'show', 'dev', 'lo').matchAll(/inet ([\\d.]+)/g)].map(([, one]) => one).filter((one) => one !== '127.0.0.1');
    const rules = () => { try { return execute('nft', 'list', 'table', 'inet', 'cupola.machine'); } catch { return ''; } };
    const own = () => ({ addresses: addresses(), guarded: rules().includes('10.231.254.254'), closed: execute('ip', 'route', 'show', 'type', 'unreachable').trim().split(' ')[1] ?? '' });
    const cupola = (...words) => spawnSync(${JSON.stringify(join(ROOT, 'cupola'))}, [...words, '--data', ${JSON.stringify(data)}], { encoding: 'utf8' });
  `;

  test('`down` ends what it has left, and takes its addresses and what guards them away', async () => {
    const { before, ran, again, alive, known, afterwards } = (await inEmptyNetwork(`${program()}
      import { mkdirSync } from 'node:fs';
      mkdirSync(${JSON.stringify(layout.run)}, { recursive: true });
      await ensureInstallation(['10.231.254.1', '10.231.254.254'], '10.231.254.254', [{ address: '127.0.0.1', port: 3, accounts: [4001] }]);
      await closeRanges(['10.231.0.0/24']);
      const routes = [${JSON.stringify(layout.run)} + '/router/state', ${JSON.stringify(layout.run)} + '/cell-0-proxy/state'];
      for (const directory of routes) mkdirSync(directory, { recursive: true });
      const before = own();
      const child = spawn('sleep', ['600'], { detached: true, stdio: 'ignore' });
      writeFileSync(${JSON.stringify(layout.processesFile)}, JSON.stringify({ nats: identify(child.pid) }));
      const ran = cupola('down').stdout.trim();
      const alive = identify(child.pid) !== null;
      const afterwards = own();
      const known = routes.filter((directory) => existsSync(directory));
      await ensureInstallation(['10.231.254.254'], '10.231.254.254', []);
      const again = cupola('down').stdout.trim();
      console.log(JSON.stringify({ before, ran, again, alive, known, afterwards: [afterwards, own()] }));
      process.exit();`)) as Record<string, unknown>;
    assert.deepEqual(before, { addresses: ['10.231.254.1', '10.231.254.254'], guarded: true, closed: '10.231.0.0/24' });
    assert.deepEqual(known, [], 'what router and proxies knew');
    assert.deepEqual([ran, again, alive], ['stopped', 'it was not running', false]);
    const none = { addresses: [], guarded: false, closed: '' };
    assert.deepEqual(afterwards, [none, none]);
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
    assert.deepEqual(answer, { failed: true, addresses: [], guarded: false, closed: '', shown: false, same: true });
  });

  test('no supervisor begins while a command keeps it down, though the machine was just booted', async () => {
    rmSync(layout.run, { recursive: true, force: true });
    {
      using stopped = await stopForGood(layout, 'destroy');
      assert.equal(stopped.ran, false);
      assert.throws(() => lockFile(supervisorLockOf(layout.run), 'supervisor'), { code: 'locked' });
    }
    lockFile(supervisorLockOf(layout.run), 'supervisor')[Symbol.dispose]();
  });
});
