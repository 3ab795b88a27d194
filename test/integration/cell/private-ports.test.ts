import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { inEmptyNetwork, NETWORK_SKIP, source } from '../../support/empty-network.ts';

/** An account that may connect, and one that may not. */
const CALLER = 4_001;
const STRANGER = 65_534;

describe('ports of an installation that only its own accounts reach', { skip: NETWORK_SKIP }, () => {
  let directory: string;
  let program: string;
  before(async () => {
    directory = await mkdtemp('/run/private-ports-');
    program = `
      import { existsSync, rmSync, writeFileSync } from 'node:fs';
      import { createServer } from 'node:net';
      import { spawnSync } from 'node:child_process';
      import * as host from ${source('cell/network/host.ts')};
      const notes = '${directory}/notes';
      rmSync(notes, { recursive: true, force: true });
      const OWN = '10.231.52.1';
      const seen = [];
      const listen = (address) => new Promise((resolve) => {
        const server = createServer((socket) => { seen.push(socket.remoteAddress); socket.on('error', () => {}); socket.end(); });
        server.listen(0, address, () => resolve(server.address().port));
      });
      // As that account, with none of the capabilities of root's: 'open', or what the connection ended of.
      const knock = (uid, address, port) => {
        const script = "require('node:net').connect(" + port + ", '" + address + "').once('connect', () => { console.log('open'); process.exit(); }).once('error', (error) => console.log(error.code))";
        return new Promise((resolve) => execFile('setpriv', ['--reuid=' + uid, '--regid=' + uid, '--clear-groups', '--bounding-set=-all', '--inh-caps=-all', process.execPath, '-e', script],
          { cwd: '/', timeout: 10_000 }, (error, out) => resolve(out.trim() || String(error))));
      };
      const { execFile } = await import('node:child_process');
      const table = () => { try { return execute('nft', 'list', 'table', 'inet', 'cupola.machine'); } catch { return ''; } };
      const all = async (address, port) => ({ root: await knock(0, address, port), caller: await knock(${CALLER}, address, port), stranger: await knock(${STRANGER}, address, port) });
    `;
  });
  after(() => rm(directory, { recursive: true, force: true }));

  const CLOSED = { root: 'open', caller: 'open', stranger: 'ECONNREFUSED' };
  const OPEN = { root: 'open', caller: 'open', stranger: 'open' };

  test('SECURITY 22: another account is refused at once on loopback and on the installation’s addresses, and the listener sees nothing of it', async () => {
    const answer = await inEmptyNetwork(`${program}
      await host.ensureAddress(OWN, notes);
      const [loopback, own, open] = [await listen('127.0.0.1'), await listen(OWN), await listen('127.0.0.1')];
      const accounts = [${CALLER}];
      await host.ensureInstallation([], OWN, [{ address: '127.0.0.1', port: loopback, accounts }, { address: OWN, port: own, accounts }], notes);
      const strangers = [];
      for (const [address, port] of [['127.0.0.1', loopback], ['0.0.0.0', loopback], ['::ffff:127.0.0.1', loopback], [OWN, own]]) strangers.push(await knock(${STRANGER}, address, port));
      const reached = seen.length;
      console.log(JSON.stringify({ strangers, reached, others: [await all('127.0.0.1', loopback), await all(OWN, own), await all('127.0.0.1', open)] }));
      process.exit();`);
    assert.deepEqual(answer, {
      strangers: Array(4).fill('ECONNREFUSED'),
      reached: 0,
      others: [CLOSED, CLOSED, OPEN],
    });
  });

  test('SECURITY 22: they are closed again after the machine’s firewall was loaded anew, by any cell that comes by', async () => {
    const answers = await inEmptyNetwork(`${program}
      await host.ensureAddress(OWN, notes);
      const port = await listen('127.0.0.1');
      await host.ensureInstallation([], OWN, [{ address: '127.0.0.1', port, accounts: [${CALLER}] }], notes);
      const first = await all('127.0.0.1', port);
      execute('nft', 'flush', 'ruleset');
      const between = await all('127.0.0.1', port);
      const settings = { range: '10.231.50.0/24', gateway: '169.254.231.8', mtu: 1450, cellAddress: '10.231.51.1', hostStateDirectory: notes };
      await host.prepareHost(settings, 'ppa');
      const again = await all('127.0.0.1', port);
      await host.restoreHost(settings);
      console.log(JSON.stringify([first, between, again, await all('127.0.0.1', port)]));
      process.exit();`);
    assert.deepEqual(answers, [CLOSED, OPEN, CLOSED, CLOSED]);
  });

  test('SECURITY 22: they are closed again, and addresses stand and are guarded again, by the supervisor where no cell is', async () => {
    const answers = await inEmptyNetwork(`${program}
      const OTHER = '10.231.52.3';
      const port = await listen('127.0.0.1');
      const ensure = () => host.ensureInstallation([OWN, OTHER], OWN, [{ address: '127.0.0.1', port, accounts: [${CALLER}] }], notes);
      const state = async () => ({
        ...(await all('127.0.0.1', port)),
        guarded: [OWN, OTHER].filter((one) => table().includes(one)),
        addresses: [OWN, OTHER].filter((one) => execute('ip', '-o', 'address').includes(one)),
      });
      await ensure();
      const first = await state();
      execute('nft', 'flush', 'ruleset');
      execute('ip', 'address', 'delete', OTHER + '/32', 'dev', 'lo');
      const between = await state();
      await ensure();
      console.log(JSON.stringify([first, between, await state()]));
      process.exit();`);
    const addresses = ['10.231.52.1', '10.231.52.3'];
    const whole = { ...CLOSED, guarded: addresses, addresses };
    assert.deepEqual(answers, [whole, { ...OPEN, guarded: [], addresses: ['10.231.52.1'] }, whole]);
  });

  test('SECURITY 22: one installation’s stay while another’s are changed and go, and the last leaves nothing', async () => {
    const answers = await inEmptyNetwork(`${program}
      const [first, second, other] = [await listen('127.0.0.1'), await listen('127.0.0.1'), await listen('127.0.0.1')];
      const close = (address, ...ports) => host.ensureInstallation([], address, ports.map((port) => ({ address: '127.0.0.1', port, accounts: [${CALLER}] })), notes);
      const state = async () => [await all('127.0.0.1', first), await all('127.0.0.1', second), await all('127.0.0.1', other)].map(({ stranger }) => stranger === 'open');
      await host.ensureAddress(OWN, notes);
      await host.ensureAddress('10.231.52.2', notes);
      await close(OWN, first);
      await close('10.231.52.2', other);
      const states = [await state()];
      await close(OWN, second);
      states.push(await state());
      // As the version before does when it is started again: it knows addresses alone.
      await host.ensureAddress(OWN, notes);
      states.push(await state());
      await host.removeAddress(OWN, notes);
      states.push(await state());
      await host.removeAddress('10.231.52.2', notes);
      states.push(await state());
      console.log(JSON.stringify([...states, table(), existsSync(notes)]));
      process.exit();`);
    assert.deepEqual(answers, [
      [false, true, false],
      [true, false, false],
      [true, false, false],
      [true, true, false],
      [true, true, true],
      '',
      false,
    ]);
  });

  test('SECURITY 22: an account that was taken away connects no more, and what is open stays open', async () => {
    const answer = await inEmptyNetwork(`${program}
      const { connect } = await import('node:net');
      await host.ensureAddress(OWN, notes);
      const lines = [];
      const server = createServer((socket) => socket.on('data', (chunk) => socket.write(chunk)));
      const port = await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server.address().port)));
      const give = (accounts) => host.ensureInstallation([], OWN, [{ address: '127.0.0.1', port, accounts }], notes);
      const script = "const s = require('node:net').connect(" + port + ", '127.0.0.1'); process.stdin.pipe(s); s.pipe(process.stdout)";
      const { spawn } = await import('node:child_process');
      const child = spawn('setpriv', ['--reuid=${STRANGER}', '--regid=${STRANGER}', '--clear-groups', process.execPath, '-e', script], { cwd: '/' });
      const echo = (text) => new Promise((resolve) => { child.stdout.once('data', (chunk) => resolve(String(chunk))); child.stdin.write(text); });
      const said = [await echo('before')];
      await give([${STRANGER}, ${CALLER}]);
      const first = await all('127.0.0.1', port);
      await give([${CALLER}]);
      said.push(await echo('after'));
      console.log(JSON.stringify({ first, afterwards: await all('127.0.0.1', port), said }));
      child.kill();
      process.exit();`);
    assert.deepEqual(answer, { first: OPEN, afterwards: CLOSED, said: ['before', 'after'] });
  });
});
