import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { run } from '../../src/kit/process.ts';
import { cellAddress, routerAddress } from '../../src/platform/addresses.ts';
import type { CellStatus } from '../../src/platform/admin-messages.ts';
import { instances, variable } from '../support/fault-targets.ts';
import { startLoad } from '../support/load.ts';
import { NO_OFFICIAL_CF, officialCf } from '../support/official-cf.ts';
import { eventually, TestPlatform } from '../support/platform.ts';
import { allProcesses } from '../support/processes.ts';

const CF = officialCf() ?? '';
const SKIP = process.getuid?.() !== 0 ? 'needs root' : CF === '' ? NO_OFFICIAL_CF : false;
const SECURE = 3;

/** Says where it runs; asks a public URL or dials an address from inside, on request. */
const APP = `
const { createServer } = require('node:http');
const { get } = require('node:https');
const { connect } = require('node:net');
const { readFileSync } = require('node:fs');
const ca = readFileSync('/etc/ssl/certs/ca-certificates.crt');
const who = { index: Number(process.env.CF_INSTANCE_INDEX), ip: process.env.CF_INSTANCE_IP, guid: process.env.CF_INSTANCE_GUID };
createServer((request, response) => {
  const end = (value) => response.end(JSON.stringify(value));
  const url = new URL(request.url, 'http://here');
  if (url.pathname === '/ask') {
    get(url.searchParams.get('url'), { ca, agent: false, timeout: 5000 }, (answer) => {
      let body = '';
      answer.on('data', (chunk) => { body += chunk; });
      answer.on('end', () => end({ status: answer.statusCode, body }));
    }).on('error', (error) => end({ error: String(error) }));
  } else if (url.pathname === '/dial') {
    Promise.all(url.searchParams.getAll('to').map((to) => new Promise((done) => {
      const [host, port] = to.split(':');
      const socket = connect({ host, port, timeout: 3000 }, () => { socket.destroy(); done([to, 'open']); });
      socket.on('timeout', () => { socket.destroy(); done([to, 'silent']); });
      socket.on('error', () => done([to, 'refused']));
    }))).then(end);
  } else end(who);
}).listen(process.env.PORT);
`;

interface Instance {
  index: number;
  ip: string;
  guid: string;
}

describe('several cells on one machine, used with the official cf', { skip: SKIP }, () => {
  const platform = new TestPlatform({
    httpsPort: 22_507,
    domain: 'cells.cupola.localhost',
    options: ['--cells', '4', '--zones', '2', '--cell-tags', `cell-${SECURE}=secure`],
  });
  const cf = (...args: string[]) => platform.cf(CF, args);
  const directory = join(platform.home, 'app');

  before(async () => {
    mkdirSync(directory);
    writeFileSync(join(directory, 'server.js'), APP);
    writeFileSync(
      join(directory, 'package.json'),
      '{"name":"where","version":"1.0.0","scripts":{"start":"node server.js"}}',
    );
    await platform.upWithOrg(CF);
    await push('where', 3);
    await push('caller', 1);
  });
  after(() => platform.remove());

  test('each cell has an address, a zone, tags, and a proxy under an account of its own', async () => {
    const { settings } = platform.layout;
    const found = await cells();
    assert.deepEqual(
      found.map(({ id, zone, address, placementTags }) => [id, zone, address, placementTags]),
      [0, 1, 2, 3].map((n) => [
        `cell-${n}`,
        n % 2 ? 'z2' : 'z1',
        cellAddress(settings, n),
        n === SECURE ? ['secure'] : [],
      ]),
    );
    const { components } = await platform.status();
    const accounts = components.filter(({ name }) => /^cell-\d-proxy$/.test(name)).map(({ account }) => account);
    assert.equal(new Set(accounts).size, 4, accounts.join(' '));
    const keys = `${platform.layout.run}/cell-0-proxy/state/certificates`;
    const key = join(keys, readdirSync(keys)[0]!);
    const readBy = (account: string) =>
      run('setpriv', [`--reuid=${account}`, `--regid=${account}`, '--clear-groups', 'cat', key], { showWords: true });
    assert.match(await readBy(accounts[0]!), /PRIVATE KEY/);
    await assert.rejects(readBy(accounts[1]!), /ermission denied/);
  });

  test('DGO-04: instances of an app spread over the cells, and none is on a cell of a segment', async () => {
    const instances = await whereIs('where', 3);
    assert.deepEqual(new Set(instances.map(({ ip }) => ip)), new Set([0, 1, 2].map(addressOf)));
  });

  test('an app reaches another app and the API by their public names, with the certificate verified', async () => {
    const port = platform.httpsPort;
    for (const [name, path, expected] of [
      ['where', '/', /"guid"/],
      ['api', '/v3/info', /"cli_version"|"build"/],
    ] as const) {
      const url = `https://${name}.${platform.domain}:${port}${path}`;
      const answer = JSON.parse((await platform.ask('caller', `/ask?url=${encodeURIComponent(url)}`)).body);
      assert.equal(answer.status, 200, JSON.stringify(answer));
      assert.match(answer.body, expected);
    }
  });

  test('SECURITY 33, 34: of the platform an app reaches the router’s ports and nothing else, nor a container of any cell', async () => {
    const { settings } = platform.layout;
    const { ports } = settings;
    const own = (await run('hostname', ['-I'])).split(' ')[0]!;
    const internal = [ports.control, ports.rpc, ports.nats, ...ports.rep, ...ports.proxy, 5432, 22];
    const addresses = [...[0, 1, 2, 3].map(addressOf), routerAddress(settings), settings.gateway, own];
    const dialled = addresses.flatMap((address) => internal.map((port) => `${address}:${port}`));
    dialled.push(`${addressOf(0)}:${settings.httpsPort}`, `${settings.gateway}:${settings.httpsPort}`);
    const containers = instances(platform, /server\.js/, 'where').map(({ seen }) =>
      variable(seen, 'CF_INSTANCE_INTERNAL_IP'),
    );
    assert.equal(new Set(containers).size, 3, 'one on each cell');
    dialled.push(...containers.map((address) => `${address}:8080`));
    const open = `${routerAddress(settings)}:${settings.httpsPort}`;
    const query = [...dialled, open].map((to) => `to=${to}`).join('&');
    const seen = new Map<string, string>(JSON.parse((await platform.ask('caller', `/dial?${query}`)).body));
    assert.equal(seen.get(open), 'open');
    assert.deepEqual(
      [...seen].filter(([to, how]) => to !== open && how !== 'refused'),
      [],
    );
  });

  test('NET-01: an operator takes public routes away from apps by their security group', async () => {
    const url = encodeURIComponent(`https://where.${platform.domain}:${platform.httpsPort}/`);
    const answer = async () => JSON.parse((await platform.ask('caller', `/ask?url=${url}`)).body);
    await cf('unbind-running-security-group', 'public_routes');
    await eventually('it is refused', async () => /ECONNREFUSED/.test((await answer()).error ?? ''));
    await cf('bind-running-security-group', 'public_routes');
    await eventually('it is allowed again', async () => (await answer()).status === 200);
  });

  test('HAV-01: a cell is drained without a failed request, and gets nothing until it is resumed', async () => {
    const load = startLoad(platform, 'where', { kinds: ['new', 'kept', 'new', 'kept'] });
    try {
      assert.match(await platform.cupola('cell', ['drain', 'cell-1']), /cell-1 is drained/);
      assert.deepEqual(
        (await whereIs('where', 3)).filter(({ ip }) => ip === addressOf(1)),
        [],
      );
      assert.match(await platform.cupola('cell', ['list']), /cell-1\s+drained\s+z2/);
      // What one cell holds it may leave for another, again and again.
      assert.match(await platform.cupola('cell', ['drain', 'cell-2']), /cell-2 is drained/);
      assert.deepEqual(new Set((await whereIs('where', 3)).map(({ ip }) => ip)), new Set([addressOf(0)]));
    } finally {
      const { failures, requests } = await load.stop();
      assert.deepEqual(failures, [], `${requests} requests`);
      assert.ok(requests > 100, `${requests} requests`);
    }
    await push('meanwhile', 1);
    assert.deepEqual(
      (await whereIs('meanwhile', 1)).map(({ ip }) => ip),
      [addressOf(0)],
    );
    await cf('delete', 'meanwhile', '-f', '-r');
    await platform.cupola('cell', ['resume', 'cell-1']);
    await platform.cupola('cell', ['resume', 'cell-2']);
    assert.ok((await cells()).every(({ draining }) => !draining));
  });

  test('HAV-01: without room elsewhere a drained cell keeps its instances, and says why', async () => {
    for (const id of ['cell-0', 'cell-1', 'cell-2']) await platform.cupola('cell', ['drain', id, '--no-wait']);
    const said = await eventually('the reason is shown', async () => {
      const text = await platform.cupola('cell', ['list']);
      return /3 without room elsewhere|without room elsewhere/.test(text) && text;
    });
    assert.match(said, /draining/);
    assert.equal((await platform.ask('where')).status, 200);
    assert.match(await cf('app', 'where'), /instances:\s+3\/3/);
    for (const id of ['cell-0', 'cell-1', 'cell-2']) await platform.cupola('cell', ['resume', id]);
    await eventually('all in their places', async () => (await cells()).every(({ waiting }) => waiting.length === 0));
  });

  test('DGO-04: a cell process that is killed and comes back has lost nothing: no instance is replaced', async () => {
    const guids = async () => (await whereIs('where', 3)).map(({ guid }) => guid).sort();
    const before_ = await guids();
    const { pid } = (await platform.status()).components.find(({ name }) => name === 'cell-0')!;
    process.kill(pid!, 'SIGKILL');
    await eventually('the cell is back', async () => {
      const cell = (await platform.status()).components.find(({ name }) => name === 'cell-0');
      return cell?.state === 'running' && cell.pid !== pid;
    });
    await pause(18_000); // longer than a silent cell is waited for
    assert.deepEqual(await guids(), before_);
  });

  test('DGO-04, HAV-01: a cell that vanishes is replaced within 30 s; when it is back late it stops what others have', async () => {
    // Its instances are on a cell with some of others; the one that vanishes has at least one.
    await cf('restart', 'where');
    const instances = await whereIs('where', 3);
    const gone = instances.find(({ ip }) => ip === addressOf(1));
    assert.ok(gone, 'an instance is on cell-1');
    const load = startLoad(platform, 'where', { kinds: ['new', 'new'], timeoutMs: 25_000 });
    const frozen = await everythingOf(1);
    const vanished = Date.now();
    for (const pid of frozen) process.kill(pid, 'SIGSTOP');
    try {
      await eventually('it is noticed', async () => !(await cells()).find(({ id }) => id === 'cell-1')!.live, 20_000);
      await eventually(
        'its instance runs elsewhere',
        async () => {
          const now = await whereIs('where', 3);
          return now.every(({ ip }) => ip !== addressOf(1)) && /instances:\s+3\/3/.test(await cf('app', 'where'));
        },
        30_000 - (Date.now() - vanished),
      );
    } finally {
      for (const pid of frozen) process.kill(pid, 'SIGCONT');
    }
    await eventually('it stops its own', async () => appProcesses(1).length === 0, 10_000);
    await eventually('it is back', async () => (await cells()).find(({ id }) => id === 'cell-1')!.live);
    const { failures, requests } = await load.stop();
    assert.deepEqual(failures, [], `${requests} requests`);
    assert.equal((await cells()).find(({ id }) => id === 'cell-1')!.instances, 0);
    assert.match(await cf('app', 'where'), /instances:\s+3\/3/);
  });

  test('ISO-03, ISO-05: apps, tasks and staging of a space in a segment go to its cells, and to no others', async () => {
    await cf('create-isolation-segment', 'secure');
    await cf('enable-org-isolation', 'acme', 'secure');
    await cf('create-space', 'vault', '-o', 'acme');
    await cf('set-space-isolation-segment', 'vault', 'secure');
    await cf('target', '-o', 'acme', '-s', 'vault');
    const logged = () => readFileSync(`${platform.layout.logs}/cell-${SECURE}.log`, 'utf8').length;
    const before_ = logged();
    await push('treasure', 2);
    assert.deepEqual(new Set((await whereIs('treasure', 2)).map(({ ip }) => ip)), new Set([addressOf(SECURE)]));
    assert.match(
      await cf('logs', 'treasure', '--recent'),
      new RegExp(`STG/0\\].*Cell cell-${SECURE} creating container`),
    );
    await cf('run-task', 'treasure', '--command', 'echo on $CF_INSTANCE_IP', '--name', 'where');
    await eventually('the task ran there', async () =>
      new RegExp(`on ${addressOf(SECURE).replaceAll('.', '\\.')}`).test(await cf('logs', 'treasure', '--recent')),
    );
    assert.ok(logged() >= before_);
    await cf('target', '-o', 'acme', '-s', 'dev');
  });

  async function push(name: string, instances: number): Promise<void> {
    await cf(
      'push',
      name,
      '-p',
      directory,
      '-m',
      '64M',
      '-k',
      '256M',
      '-i',
      String(instances),
      '-b',
      'nodejs_buildpack',
    );
  }

  async function cells(): Promise<CellStatus[]> {
    return JSON.parse(await platform.cupola('cell', ['list', '--json'])) as CellStatus[];
  }

  function addressOf(cell: number): string {
    return cellAddress(platform.layout.settings, cell);
  }

  /** Asks until each index has answered, and gives the last answer of each. */
  async function whereIs(app: string, instances: number): Promise<Instance[]> {
    const seen = new Map<number, Instance>();
    await eventually(`${instances} instances of ${app} answer`, async () => {
      seen.clear();
      for (let asked = 0; asked < 20 * instances && seen.size < instances; asked += 1) {
        const { status, body } = await platform.ask(app);
        if (status !== 200) return false;
        const one = JSON.parse(body) as Instance;
        seen.set(one.index, one);
      }
      return seen.size === instances;
    });
    return [...seen.values()];
  }

  /** Every process of apps on a cell, by the range of user numbers the cell gives its containers. */
  function appProcesses(cell: number): number[] {
    const first = platform.layout.settings.uidRangeBase + cell * 256 * 65_536;
    return allProcesses()
      .filter(({ uid }) => uid >= first && uid < first + 256 * 65_536)
      .map(({ pid }) => pid);
  }

  /** The cell process, its proxy, what holds its containers, and the apps in them: as if the machine were cut off. */
  async function everythingOf(cell: number): Promise<number[]> {
    const { components } = await platform.status();
    const own = components.filter(({ name }) => name === `cell-${cell}` || name === `cell-${cell}-proxy`);
    const conmon = allProcesses().filter(
      ({ arguments: words }) =>
        /^\S*conmon /.test(words) && words.includes(`/cell-${cell}/`) && words.includes(platform.layout.run),
    );
    return [...own.map(({ pid }) => pid!), ...conmon.map(({ pid }) => pid), ...appProcesses(cell)];
  }
});
