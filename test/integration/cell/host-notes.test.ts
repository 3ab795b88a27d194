import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { inEmptyNetwork, NETWORK_SKIP, source } from '../../support/empty-network.ts';

/*
 * What cells and installations change on their machine, and what of it is left when one of them is killed or meets a machine that
 * is full. A cell is gone here as soon as it has no table, which the programs below do not make.
 */
describe('what is changed on the machine', { skip: NETWORK_SKIP }, () => {
  let directory: string;
  let program: string;
  before(async () => {
    directory = await mkdtemp('/run/host-notes-');
    program = `
      import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
      import { spawnSync } from 'node:child_process';
      import { closeRanges, ensureAddress, openRange, prepareHost, removeAddress, restoreHost } from ${source('cell/network/host.ts')};
      const notes = '${directory}/notes';
      rmSync(notes, { recursive: true, force: true });
      const settings = { range: '10.231.40.0/24', gateway: '169.254.231.9', mtu: 1450, cellAddress: '10.231.41.1', hostStateDirectory: notes };
      const forwards = () => readFileSync('/proc/sys/net/ipv4/ip_forward', 'utf8').trim() === '1';
      const rules = () => { try { return execute('nft', 'list', 'table', 'inet', 'cupola.machine'); } catch { return ''; } };
      const bounded = () => /hook forward[^}]*drop/s.test(rules());
      const addresses = () => [...execute('ip', '-o', '-4', 'address', 'show', 'dev', 'lo').matchAll(/inet ([\\d.]+)/g)].map(([, one]) => one).filter((one) => one !== '127.0.0.1');
      const closed = () => [...execute('ip', 'route', 'show', 'type', 'unreachable').matchAll(/^unreachable (\\S+)/gm)].map(([, one]) => one);
      const state = () => ({ forwards: forwards(), bounded: bounded(), guarded: rules() !== '', addresses: addresses(), closed: closed(), notes: existsSync(notes) });
      const settled = (promise) => promise.then(() => 'done', () => 'failed');
      writeFileSync('/proc/sys/net/ipv4/ip_forward', '0');
    `;
  });
  after(() => rm(directory, { recursive: true, force: true }));

  const CLEAN = { forwards: false, bounded: false, guarded: false, addresses: [], closed: [], notes: false };

  test('SECURITY 33: a cell that comes and goes leaves nothing', async () => {
    const [during, afterwards] = (await inEmptyNetwork(`${program}
      await prepareHost(settings, 'hna');
      const during = state();
      await restoreHost(settings);
      console.log(JSON.stringify([during, state()]));`)) as unknown[];
    assert.deepEqual(during, {
      forwards: true,
      bounded: true,
      guarded: true,
      addresses: ['169.254.231.9', '10.231.41.1'],
      closed: ['10.231.40.0/24'],
      notes: true,
    });
    assert.deepEqual(afterwards, CLEAN);
  });

  test('SECURITY 33: where forwarding cannot be switched off, its bound and its note stay, and the next one undoes it', async () => {
    const states = await inEmptyNetwork(`${program}
      await prepareHost(settings, 'hna');
      writeFileSync('${directory}/fixed', '1');
      execute('mount', '--bind', '-o', 'ro', '${directory}/fixed', '/proc/sys/net/ipv4/ip_forward');
      execute('mount', '-o', 'remount,bind,ro', '/proc/sys/net/ipv4/ip_forward');
      const first = [await settled(restoreHost(settings)), bounded()];
      execute('umount', '/proc/sys/net/ipv4/ip_forward');
      await prepareHost(settings, 'hnb');
      const second = [forwards(), bounded()];
      await restoreHost(settings);
      console.log(JSON.stringify([first, second, state()]));`);
    assert.deepEqual(states, [['failed', true], [true, true], CLEAN]);
  });

  test('SECURITY 33: whoever is killed at any command while it puts things back leaves what the next one finishes', async () => {
    // In place of nft and ip: the command of that number ends whoever gave it.
    const broken = (await inEmptyNetwork(`${program}
      execute('mount', '-t', 'tmpfs', 'none', '${directory}');
      const commands = ['nft', 'ip'].map((name) => [name, execute('sh', '-c', 'readlink -f "$(command -v ' + name + ')"').trim()]);
      for (const [name, path] of commands) {
        copyFileSync(path, '${directory}/' + name);
        writeFileSync('${directory}/' + name + '.sh', '#!/bin/sh\\nread left < ${directory}/left\\n[ "$left" = 1 ] && kill -9 $PPID && exit 1\\necho $((left - 1)) > ${directory}/left\\nexec ${directory}/' + name + ' "$@"\\n');
        chmodSync('${directory}/' + name + '.sh', 0o755);
      }
      writeFileSync('${directory}/left', '0\\n');
      for (const [name, path] of commands) execute('mount', '--bind', '${directory}/' + name + '.sh', path);
      const broken = [];
      let at = 0;
      for (let killed = true; killed && at < 60; ) {
        at += 1;
        await prepareHost(settings, 'hna');
        writeFileSync('${directory}/left', at + '\\n');
        const program = 'import { restoreHost } from ' + JSON.stringify(${source('cell/network/host.ts')}) + '; await restoreHost(' + JSON.stringify(settings) + ')';
        killed = spawnSync(process.execPath, ['--input-type=module', '-e', program]).signal === 'SIGKILL';
        writeFileSync('${directory}/left', '0\\n');
        const between = state();
        await restoreHost(settings);
        const end = state();
        if ((between.forwards && !between.bounded) || JSON.stringify(end) !== ${JSON.stringify(JSON.stringify(CLEAN))}) broken.push({ at, between, end });
        for (const one of addresses()) execute('ip', 'address', 'delete', one + '/32', 'dev', 'lo');
        writeFileSync('/proc/sys/net/ipv4/ip_forward', '0');
      }
      console.log(JSON.stringify({ kills: at - 1, broken }));`)) as { kills: number; broken: unknown[] };
    assert.ok(broken.kills > 8, `${broken.kills} kills`);
    assert.deepEqual(broken.broken, []);
  });

  test('SECURITY 33: forwarding is not switched on where it cannot be noted', async () => {
    const states = await inEmptyNetwork(`${program}
      mkdirSync(notes);
      execute('mount', '-t', 'tmpfs', '-o', 'nr_inodes=1', 'none', notes);
      console.log(JSON.stringify([await settled(prepareHost(settings, 'hna')), forwards()]));`);
    assert.deepEqual(states, ['failed', false]);
  });

  test('SECURITY 33: the last cell of another installation takes no address away, and whoever removes the last leaves nothing', async () => {
    const states = await inEmptyNetwork(`${program}
      await ensureAddress('10.231.42.1', notes);
      await ensureAddress('10.231.42.2', notes);
      await prepareHost(settings, 'hna');
      await restoreHost(settings);
      const first = { ...state(), own: /10\\.231\\.42\\.1, 10\\.231\\.42\\.2/.test(rules()) };
      await removeAddress('10.231.42.1', notes);
      const second = state();
      await removeAddress('10.231.42.2', notes);
      console.log(JSON.stringify([first, second, state()]));`);
    const one = { forwards: false, bounded: false, guarded: true, closed: [], notes: true };
    assert.deepEqual(states, [
      { ...one, addresses: ['10.231.42.1', '10.231.42.2'], own: true },
      { ...one, addresses: ['10.231.42.2'] },
      CLEAN,
    ]);
  });

  test('SECURITY 33: a range that an installation closed stays closed when its last cell goes, until the installation opens it', async () => {
    const states = await inEmptyNetwork(`${program}
      await closeRanges([settings.range, '10.231.43.0/24'], notes);
      await prepareHost(settings, 'hna');
      await restoreHost(settings);
      const first = closed();
      await openRange(settings.range, notes);
      const second = closed();
      await openRange('10.231.43.0/24', notes);
      console.log(JSON.stringify([first, second, closed(), existsSync(notes)]));`);
    assert.deepEqual(states, [['10.231.40.0/24', '10.231.43.0/24'], ['10.231.43.0/24'], [], false]);
  });

  test('an address that others put on the machine, and one that is nobody’s, are removed without a trace', async () => {
    const states = await inEmptyNetwork(`${program}
      execute('ip', 'address', 'add', '10.231.42.3/32', 'dev', 'lo');
      await removeAddress('10.231.42.3', notes);
      await removeAddress('10.231.42.4', notes);
      console.log(JSON.stringify(state()));`);
    assert.deepEqual(states, CLEAN);
  });

  test('SECURITY 33: addresses that come while cells go, in whatever order, stay and are guarded', async () => {
    const states = await inEmptyNetwork(`${program}
      const lost = [];
      for (let round = 0; round < 10; round++) {
        await prepareHost(settings, 'hna');
        await Promise.all([restoreHost(settings), ensureAddress('10.231.42.5', notes), restoreHost(settings)]);
        if (!addresses().includes('10.231.42.5') || !rules().includes('10.231.42.5')) lost.push(round);
        await removeAddress('10.231.42.5', notes);
      }
      console.log(JSON.stringify([lost, state()]));`);
    assert.deepEqual(states, [[], CLEAN]);
  });
});
