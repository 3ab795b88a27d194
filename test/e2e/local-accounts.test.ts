import assert from 'node:assert/strict';
import { readdirSync, readlinkSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { DEFAULT_STATE } from '../../src/cell/network/host.ts';
import { lockDirectory } from '../../src/kit/lock.ts';
import { run } from '../../src/kit/process.ts';
import { ownAddresses, routerAddress, routerPorts } from '../../src/platform/addresses.ts';
import { abstractListeners, knockAsNobody, tcpListenersOf, unixSocketsBelow } from '../support/local-sockets.ts';
import { eventually, TestPlatform } from '../support/platform.ts';
import { allProcesses, familyOf } from '../support/processes.ts';

const SKIP = process.getuid?.() === 0 ? false : 'needs root';

describe('an account of the machine that the platform does not know', { skip: SKIP }, () => {
  const platform = new TestPlatform({
    httpsPort: 8513,
    domain: 'accounts.cupola.localhost',
    options: ['--cells', '2'],
  });
  before(() => platform.up());
  after(() => platform.remove());

  test('SECURITY 22: it connects to no Unix socket of the platform', async () => {
    const { run: directory } = platform.layout;
    const paths = await unixSocketsBelow([directory, platform.data]);
    for (const name of ['supervisor', 'admin', 'driver', 'ssh', 'stats', '.s.PGSQL.5432']) {
      assert.ok(
        paths.some((path) => path.includes(`/${name}`)),
        `${name} in ${paths.join(' ')}`,
      );
    }
    const outcomes = knockAsNobody(paths);
    assert.equal(outcomes.size, paths.length);
    assert.deepEqual(
      [...outcomes].filter(([, outcome]) => outcome !== 'EACCES'),
      [],
    );
    assert.deepEqual(abstractListeners(await ownPids(), socketsOf), []);
  });

  test('SECURITY 22: it connects to no TCP port of the platform but those it publishes', async () => {
    assert.deepEqual(await openToNobody(), published());
    const { ports } = platform.layout.settings;
    const refused = knockAsNobody([...internal(), { host: '0.0.0.0', port: ports.rpc }]);
    assert.equal(refused.size, internal().length + 1);
    assert.deepEqual(new Set(refused.values()), new Set(['ECONNREFUSED']));
  });

  test('SECURITY 22: it connects no more a few seconds after the machine’s firewall was loaded anew', async () => {
    await run('nft', ['delete', 'table', 'inet', 'cupola.machine']);
    await eventually('the ports are closed', async () => (await openToNobody()).join() === published().join(), 30_000);
  });

  test('SECURITY 22: nor where no cell comes by to close the ports', async () => {
    const { components } = await platform.status();
    const cells = components.filter(({ name }) => /^cell-\d$/.test(name)).flatMap(({ pid }) => pid ?? []);
    assert.equal(cells.length, 2);
    {
      // A cell that stands still in its turn with the machine's network keeps everybody else waiting.
      using _turn = await lockDirectory(DEFAULT_STATE);
      for (const pid of cells) process.kill(pid, 'SIGSTOP');
    }
    try {
      await run('nft', ['delete', 'table', 'inet', 'cupola.machine']);
      await eventually(
        'the ports are closed',
        async () => (await openToNobody()).join() === published().join(),
        30_000,
      );
    } finally {
      for (const pid of cells) process.kill(pid, 'SIGCONT');
    }
    await eventually('all is ready again', async () => (await platform.status()).ready);
  });

  test('HLT-03: restarts are counted on by a supervisor that takes over from one that was killed', async () => {
    const { components, supervisor } = await platform.status();
    const pid = components.find(({ name }) => name === 'nats')?.pid;
    assert.ok(pid);
    process.kill(pid, 'SIGKILL');
    const restarts = async () => (await platform.status()).components.find(({ name }) => name === 'nats')?.restarts;
    await eventually('it is restarted', async () => (await restarts()) === 1);
    process.kill(supervisor.pid, 'SIGKILL');
    await platform.up();
    assert.notEqual((await platform.status()).supervisor.pid, supervisor.pid);
    assert.equal(await restarts(), 1);
  });

  test('`down` takes the platform’s addresses and what guards them away, `up` brings both back', async () => {
    const { settings } = platform.layout;
    const own = async () => {
      const shown = await run('ip', ['-o', '-4', 'address', 'show', 'dev', 'lo']);
      return ownAddresses(settings).filter((address) => shown.includes(` ${address}/32 `));
    };
    const guarded = async () => {
      const rules = await run('nft', ['list', 'ruleset']);
      return [...ownAddresses(settings), ...internal().map(({ port }) => `. ${port}`)].filter((one) =>
        new RegExp(`${one.replaceAll('.', '\\.')}\\b`).test(rules),
      );
    };
    assert.deepEqual(await own(), ownAddresses(settings));
    assert.equal((await guarded()).length, ownAddresses(settings).length + internal().length);
    await platform.cupola('down');
    assert.deepEqual(await own(), []);
    assert.deepEqual(await guarded(), []);
    await platform.up();
    assert.deepEqual(await own(), ownAddresses(settings));
    assert.deepEqual(await openToNobody(), published());
    const { components } = await platform.status();
    assert.deepEqual(
      components.filter(({ restarts }) => restarts > 0),
      [],
      'counted from this `up` on',
    );
  });

  function internal(): { host: string; port: number }[] {
    const { settings } = platform.layout;
    const { control, rpc, nats, rep, proxy } = settings.ports;
    const cells = ownAddresses(settings).slice(0, settings.cells);
    return [
      ...[control, rpc, nats].map((port) => ({ host: '127.0.0.1', port })),
      ...cells.flatMap((host, index) => [rep[index]!, proxy[index]!].map((port) => ({ host, port }))),
    ];
  }

  /** The router's ports, and the machine's own name server. */
  function published(): string[] {
    const { settings } = platform.layout;
    const { bindAddress, sshPort } = settings;
    const router = [bindAddress, routerAddress(settings)].flatMap((host) =>
      routerPorts(settings).map((port) => `${host}:${port}`),
    );
    if (sshPort !== null) router.push(`${bindAddress}:${sshPort}`);
    return [...router, `${settings.resolverAddress}:53`].sort();
  }

  /** Of all ports that its processes listen on, whatever they are for. */
  async function openToNobody(): Promise<string[]> {
    const listeners = await tcpListenersOf(await ownPids());
    const all = new Set(listeners.map(({ host, port }) => `${host}:${port}`));
    for (const { host, port } of internal()) assert.ok(all.has(`${host}:${port}`), `${host}:${port} is listened on`);
    return [...knockAsNobody(listeners)]
      .flatMap(([name, outcome]) => (outcome === 'ECONNREFUSED' ? [] : [name]))
      .sort();
  }

  async function ownPids(): Promise<Set<number>> {
    const { components, supervisor } = await platform.status();
    const roots = [...components.map(({ pid }) => pid), supervisor.pid].filter((pid) => pid !== null);
    return new Set(familyOf(roots, allProcesses()).map(({ pid }) => pid));
  }
});

/** Inodes of the sockets that a process has open; none of one that ended meanwhile, as commands of the supervisor do. */
function socketsOf(pid: number): Set<string> {
  const directory = `/proc/${pid}/fd`;
  const names = unlessGone(() => readdirSync(directory), []);
  return new Set(
    names.flatMap((name) => {
      const target = unlessGone(() => readlinkSync(`${directory}/${name}`), '');
      return /^socket:\[(\d+)\]$/.exec(target)?.[1] ?? [];
    }),
  );
}

function unlessGone<T>(read: () => T, otherwise: T): T {
  try {
    return read();
  } catch {
    return otherwise;
  }
}
