import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { hostname } from 'node:os';
import { after, before, describe, test } from 'node:test';
import type { Container } from '../../../src/cell/garden/garden.ts';
import { ensureAddress, removeAddress } from '../../../src/cell/network/host.ts';
import type { EgressRule } from '../../../src/contracts/gen/diego_pb.js';
import { run } from '../../../src/kit/process.ts';
import { eventually } from '../../support/fake-control.ts';
import { containerSpec, GARDEN_SKIP, runShell, startTestGarden, type TestGarden } from '../../support/garden.ts';
import { type Outside, startOutside } from '../../support/outside.ts';

/** Its own, because other cells of this machine may have a name server at the usual one. */
const GATEWAY = '169.254.231.1';

const rule = (protocol: string, destination: string, ports = ''): EgressRule =>
  ({ protocol, destination, ports, type: -1, code: -1, log: false }) as EgressRule;

/** "open", "refused" or "silent", as a container sees a TCP port. */
async function dial(container: Container, address: string, port: number): Promise<string> {
  const script = `timeout 1 bash -c 'exec 3<>/dev/tcp/${address}/${port}' 2>/dev/null; case $? in 0) echo open;; 124) echo silent;; *) echo refused;; esac`;
  return (await runShell(container, script)).output.trim();
}

describe('garden network', { skip: GARDEN_SKIP }, () => {
  let t: TestGarden;
  let outside: Outside;
  let one: Container;
  let host: Server;
  let hostPort: number;
  before(async () => {
    t = await startTestGarden('tgd', '10.231.4.0/24', {
      network: { range: '10.231.4.0/24', gateway: GATEWAY, mtu: 1450 },
    });
    outside = await startOutside('tgout', '10.231.200.1', '10.231.200.2', [8001, 8002]);
    one = await t.garden.create(containerSpec('one'));
    host = createServer((socket) => socket.on('error', () => {}).end('host'));
    await new Promise<void>((resolve) => host.listen(0, '0.0.0.0', resolve));
    const address = host.address();
    assert.ok(typeof address === 'object' && address);
    hostPort = address.port;
  });
  after(async () => {
    host?.close();
    await t.stop();
    await outside.stop();
  });

  test('NET-01: a container without rules reaches nothing outside, and learns it at once', async () => {
    assert.equal(await dial(one, outside.address, 8001), 'refused');
    assert.equal(outside.accepted(), 0);
  });

  test('NET-01: a rule opens its ports of its addresses and nothing else, while the container runs', async () => {
    await one.setEgressRules([rule('tcp', '10.231.200.0-10.231.200.9,192.0.2.9', '8000-8001')]);
    assert.equal(await dial(one, outside.address, 8001), 'open');
    assert.equal(await dial(one, outside.address, 8002), 'refused');
    await one.setEgressRules([]);
    assert.equal(await dial(one, outside.address, 8001), 'refused');
  });

  test('NET-02: rules may overlap and come in any order', async () => {
    const rules = [
      rule('tcp', '10.231.200.0/24', '1-9000,8001'),
      rule('all', '10.231.0.0/16'),
      rule('tcp', '10.0.0.0/8', '8001'),
    ];
    await one.setEgressRules(rules);
    assert.equal(await dial(one, outside.address, 8001), 'open');
    await one.setEgressRules(rules.toReversed());
    assert.equal(await dial(one, outside.address, 8002), 'open');
    await one.setEgressRules([]);
  });

  test('NET-01: ICMP and logged rules are in force as written', async () => {
    await one.setEgressRules([
      { ...rule('icmp', '10.231.200.0/24'), type: 8, code: 0 },
      { ...rule('icmp', '10.231.201.0/24') },
      { ...rule('tcp', '10.231.200.0/24', '8001'), log: true },
    ]);
    assert.equal(await dial(one, outside.address, 8001), 'open');
    assert.equal(await dial(one, outside.address, 8002), 'refused');
    const filter = await run('nft', ['--numeric', 'list', 'table', 'inet', 'cupola_tgd']);
    assert.match(
      filter,
      /ip daddr 10\.231\.200\.0-10\.231\.200\.255 ip protocol \w+ icmp type (8|echo-request) icmp code \S+ accept\n/,
    );
    assert.match(filter, /ip daddr 10\.231\.201\.0-10\.231\.201\.255 ip protocol \w+ accept\n/);
    assert.match(filter, /tcp dport 8001 log prefix "cupola allowed " group 5 accept\n/);
    assert.equal(filter.match(/ip protocol/g)?.length, 2);
    await one.setEgressRules([]);
  });

  test('NET-01: a rule that cannot be read allows nothing, and neither ends the container nor touches the others', async () => {
    const fine = rule('tcp', '10.231.200.0/24', '8002');
    for (const bad of [
      rule('tcp', '0.0.0.0/0 accept; flush ruleset', '1'),
      rule('tcp', '10.0.0.0/08', '8001'),
      rule('tcp', '10.231.200.0/24', '8001; accept'),
      rule('tcp', '10.231.200.0/24', ''),
      rule('gre', '10.231.200.0/24'),
    ]) {
      await one.setEgressRules([bad, fine]);
      assert.equal(await dial(one, outside.address, 8001), 'refused');
      assert.equal(await dial(one, outside.address, 8002), 'open');
    }
    const born = await t.garden.create(containerSpec('born', { egressRules: [rule('all', '0.0.0.0/33'), fine] }));
    assert.equal(await dial(born, outside.address, 8002), 'open');
    await t.garden.destroy('born');
    await one.setEgressRules([]);
  });

  test('SECURITY 33: even with everything allowed, the host, metadata addresses and other containers stay out of reach', async () => {
    await one.setEgressRules([rule('all', '0.0.0.0/0')]);
    const two = await t.garden.create(containerSpec('two'));
    await two.run({ ...listener, args: [...listener.args] });
    const own = (await run('hostname', ['-I'])).split(' ')[0]!;
    assert.equal(await dial(one, GATEWAY, hostPort), 'refused', hostname());
    assert.equal(await dial(one, own, hostPort), 'refused');
    assert.equal(await dial(one, '169.254.169.254', 80), 'refused');
    assert.equal(await dial(two, '127.0.0.1', 8080), 'open', 'the other container listens');
    assert.equal(await dial(one, two.address, 8080), 'refused');
    assert.equal(await dial(one, outside.address, 8001), 'open');
    await t.garden.destroy('two');
    await one.setEgressRules([]);
  });
  const listener = {
    id: 'listener',
    args: [
      'perl',
      '-MIO::Socket::INET',
      '-e',
      '$s = IO::Socket::INET->new(LocalPort => 8080, Listen => 5, ReuseAddr => 1); while ($c = $s->accept) { print $c "hi\\n"; close $c }',
    ],
    environment: { PATH: '/usr/bin:/bin' },
    workingDirectory: '/',
    user: 'vcap' as const,
  };

  test('a host service that is named in the settings can be reached, and no other', async () => {
    const own = (await run('hostname', ['-I'])).split(' ')[0]!;
    const network = {
      range: '10.231.13.0/24',
      gateway: GATEWAY,
      mtu: 1450,
      hostServices: [{ address: own, port: hostPort }],
    };
    const open = await startTestGarden('tgm', '10.231.13.0/24', { network });
    try {
      const container = await open.garden.create(containerSpec('guest'));
      assert.equal(await dial(container, own, hostPort), 'open');
      assert.equal(await dial(container, GATEWAY, hostPort), 'refused');
    } finally {
      await open.stop();
    }
  });

  test('NET-01, SECURITY 33: the router inside is reached on its ports, as far as the container’s rules go, and nothing beside it', async () => {
    const router = '10.231.15.254';
    const cellAddress = '10.231.15.1';
    const servers = await Promise.all(
      [router, router, cellAddress].map(async (address) => {
        await ensureAddress(address);
        const server = createServer((socket) => socket.on('error', () => {}).end('here'));
        await new Promise<void>((resolve) => server.listen(0, address, resolve));
        const bound = server.address();
        assert.ok(typeof bound === 'object' && bound);
        return { server, port: bound.port };
      }),
    );
    const [open, closed, own] = servers.map(({ port }) => port) as [number, number, number];
    const range = '10.231.14.0/24';
    const network = {
      range,
      overlay: '10.231.14.0/23',
      gateway: GATEWAY,
      mtu: 1450,
      router: { address: router, ports: [open] },
      cellAddress,
    };
    const inside = await startTestGarden('tgn', range, { network });
    try {
      const container = await inside.garden.create(containerSpec('guest'));
      assert.equal(await dial(container, router, open), 'refused', 'no rule says so');
      await container.setEgressRules([rule('tcp', router, String(open))]);
      assert.equal(await dial(container, router, open), 'open');
      await container.setEgressRules([rule('all', '0.0.0.0/0')]);
      assert.equal(await dial(container, router, open), 'open');
      assert.equal(await dial(container, router, closed), 'refused');
      assert.equal(await dial(container, cellAddress, own), 'refused');
      assert.equal(await dial(container, '10.231.15.9', 80), 'refused', 'another cell’s container');
    } finally {
      for (const { server } of servers) server.close();
      await inside.stop();
      for (const address of [router, cellAddress]) await removeAddress(address);
    }
  });

  test('the host reaches a container, as its proxy must', async () => {
    const two = await t.garden.create(containerSpec('serving'));
    await two.run(listener);
    const answer = await run('bash', [
      '-c',
      `for i in 1 2 3 4 5 6 7 8 9; do cat < /dev/tcp/${two.address}/8080 && exit; sleep 0.2; done`,
    ]);
    assert.equal(answer, 'hi\n');
    await t.garden.destroy('serving');
  });

  test('SECURITY 33: what is for a container that is not there goes nowhere, by no other way out of the machine', async () => {
    const gone = await t.garden.create(containerSpec('gone'));
    await t.garden.destroy('gone');
    const way = (address: string) => run('ip', ['route', 'get', address]);
    assert.match(await way('10.250.4.1'), / via /, 'there is a way out, which takes all else');
    await assert.rejects(way(gone.address), /ended with 2/);
    await run('ip', ['route', 'flush', 'type', 'unreachable']);
    assert.match(await way(gone.address), / via /);
    await t.garden.checkNetwork();
    await assert.rejects(way(gone.address), /ended with 2/);
    assert.match(await way(one.address), /dev tgd/, 'and one that is there has its link');
  });

  test('the name server at the gateway can be asked, by UDP and TCP', async () => {
    const server: Socket = createSocket('udp4');
    server.on('message', (_, from) => server.send('answer', from.port, from.address));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.bind(53, GATEWAY, resolve);
    });
    const name = createServer((socket) => socket.on('error', () => {}).end('answer'));
    await new Promise<void>((resolve) => name.listen(53, GATEWAY, resolve));
    const ask = `use IO::Socket::INET; $s = IO::Socket::INET->new(PeerAddr => "${GATEWAY}:53", Proto => "udp");
      $s->send("?"); $SIG{ALRM} = sub { exit 1 }; alarm 2; $s->recv($a, 99); print $a`;
    assert.equal((await runShell(one, `perl -e '${ask}'`)).output, 'answer');
    assert.equal(await dial(one, GATEWAY, 53), 'open');
    assert.equal(await dial(one, GATEWAY, 54), 'refused');
    name.close();
    server.close();
  });

  test('SECURITY 33: a packet with another source address is dropped, another container’s too', async () => {
    await one.setEgressRules([rule('all', '0.0.0.0/0')]);
    const { address: twin } = await t.garden.create(containerSpec('twin', { egressRules: [rule('all', '0.0.0.0/0')] }));
    const { init } = JSON.parse(await readFile(`${t.settings.rootDirectory}/containers/1/record.json`, 'utf8'));
    const inNetwork = (args: string[]) => run('nsenter', ['-t', String(init.pid), '-n', ...args]);
    await inNetwork(['ip', 'address', 'add', `${twin}/32`, 'dev', 'eth0']);
    const before_ = outside.received().length;
    await inNetwork(['ip', 'route', 'replace', 'default', 'via', GATEWAY, 'dev', 'eth0', 'src', twin]);
    await inNetwork(['bash', '-c', `echo spoofed > /dev/udp/${outside.address}/8003`]);
    await inNetwork(['ip', 'address', 'delete', `${twin}/32`, 'dev', 'eth0']);
    await inNetwork(['ip', 'route', 'replace', 'default', 'via', GATEWAY, 'dev', 'eth0']);
    // The later packet is the honest one: with it the other would have come.
    await inNetwork(['bash', '-c', `echo honest > /dev/udp/${outside.address}/8003`]);
    await eventually('the honest packet', () => outside.received().length > before_);
    assert.deepEqual(outside.received().slice(before_), ['honest']);
    await one.setEgressRules([]);
    await t.garden.destroy('twin');
  });

  test('NET-01: the packet filter comes back when somebody removes it', async () => {
    await one.setEgressRules([rule('tcp', '10.231.200.0/24', '8001')]);
    await run('nft', ['delete', 'table', 'inet', 'cupola_tgd']);
    await t.garden.checkNetwork();
    assert.equal(await dial(one, outside.address, 8001), 'open');
    assert.equal(await dial(one, outside.address, 8002), 'refused');
    await one.setEgressRules([]);
    assert.equal(await dial(one, outside.address, 8001), 'refused');
  });

  test('IPv6 is off', async () => {
    assert.equal((await runShell(one, 'cat /proc/net/if_inet6')).output, '');
  });

  test('containers with the same rules share a chain, which goes with the last of them', async () => {
    const chains = async () =>
      (await run('nft', ['list', 'table', 'inet', 'cupola_tgd'])).match(/chain egress_/g)!.length;
    const before_ = await chains();
    const egressRules = [rule('tcp', '203.0.113.7', '443')];
    await Promise.all(['s1', 's2', 's3'].map((name) => t.garden.create(containerSpec(name, { egressRules }))));
    assert.equal(await chains(), before_ + 1);
    await Promise.all(['s1', 's2', 's3'].map((name) => t.garden.destroy(name)));
    assert.equal(await chains(), before_);
  });
});
