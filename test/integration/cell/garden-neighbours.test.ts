import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import type { Container } from '../../../src/cell/garden/garden.ts';
import { prepareHost, removeAddress, restoreHost } from '../../../src/cell/network/host.ts';
import { CONNECTIONS, NAME_CONNECTIONS, NAME_QUERIES } from '../../../src/cell/network/shares.ts';
import { metadataNetworks } from '../../../src/contracts/metadata-addresses.ts';
import { run } from '../../../src/kit/process.ts';
import { containerSpec, GARDEN_SKIP, runShell, shell, startTestGarden, type TestGarden } from '../../support/garden.ts';
import { dialFrom, type Outside, startOutside } from '../../support/outside.ts';

const FORWARDING = '/proc/sys/net/ipv4/ip_forward';
const RANGE = '10.231.20.0/24';
const OVERLAY = '10.231.20.0/23';
const GATEWAY = '169.254.233.1';
const CELL = '10.231.21.1';
const ROUTER = '10.231.21.254';
const RESOLVER = '169.254.234.1';
/** Of an account that plays the proxy's. */
const PROXY = 61_234;
const NOBODY = 65_534;

const as = (uid: number): string[] => ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups'];
/** How an address answers what a machine without a container there might answer by itself: a word each. */
const PROBE = `
  use Socket;
  sub probe {
    my ($kind, $hops, $bytes) = @_;
    socket(my $s, PF_INET, $kind, 0) or die;
    setsockopt($s, IPPROTO_IP, IP_TTL, $hops);
    setsockopt($s, IPPROTO_IP, 10, 2); # it must not be cut into pieces
    setsockopt($s, IPPROTO_IP, 11, 1); # errors are told
    my $said = eval {
      local $SIG{ALRM} = sub { die };
      alarm 1;
      my $done = connect($s, sockaddr_in(8080, inet_aton($ARGV[0])));
      $done = send($s, "x" x $bytes, 0) && defined recv($s, my $answer, 1, 0) if $done && $bytes;
      my $error = $!;
      alarm 0;
      $done ? "open" : "$error";
    };
    return $said // "silence";
  }
  print join ", ", probe(SOCK_STREAM, 64), probe(SOCK_STREAM, 1), probe(SOCK_DGRAM, 64, 1), probe(SOCK_DGRAM, 1, 1), probe(SOCK_DGRAM, 64, 1460);`;
/** Of the range, and no container's. */
const FREE = '10.231.20.200';
const everything = [{ protocol: 'all', destination: '0.0.0.0/0', ports: '', type: 0, code: 0, log: false }] as never;

async function listen(address: string, port = 0): Promise<{ server: Server; port: number }> {
  const server = createServer((socket) => socket.on('error', () => {}).end('here'));
  const ready = Promise.withResolvers<void>();
  server.once('error', ready.reject);
  server.listen(port, address, ready.resolve);
  await ready.promise;
  const bound = server.address();
  assert.ok(typeof bound === 'object' && bound);
  return { server, port: bound.port };
}

describe('a machine with containers, as neighbours and other accounts see it', { skip: GARDEN_SKIP }, () => {
  let t: TestGarden;
  let left: Outside;
  let right: Outside;
  let serving: Container;
  let notes: string;
  let forwarded: string;
  /** No other cells are on this machine, whose rules and switches these tests would meet. */
  let alone: boolean;
  const servers: { server: Server; address: string; port: number }[] = [];

  const network = () => ({
    range: RANGE,
    overlay: OVERLAY,
    gateway: GATEWAY,
    mtu: 1450,
    router: { address: ROUTER, ports: [443] },
    cellAddress: CELL,
    callers: [PROXY],
    hostStateDirectory: notes,
  });

  before(async () => {
    forwarded = await readFile(FORWARDING, 'utf8');
    notes = await mkdtemp('/run/garden-notes-');
    left = await startOutside('tgleft', '10.231.210.1', '10.231.210.2', [8001]);
    right = await startOutside('tgright', '10.231.211.1', '10.231.211.2', [8001]);
    alone = !/cupola/.test(await run('nft', ['list', 'tables']));
    if (alone) await writeFile(FORWARDING, '0');
    t = await startTestGarden('tgp', RANGE, { network: network() });
    for (const address of [ROUTER, CELL, GATEWAY]) servers.push({ ...(await listen(address)), address });
    servers.push({ ...(await listen(GATEWAY, 53)), address: GATEWAY });
    serving = await t.garden.create(containerSpec('serving'));
    await serving.run(
      shell(
        'listener',
        `perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalPort => 8080, Listen => 99, ReuseAddr => 1); while ($c = $s->accept) { close $c }'`,
      ),
    );
    await until(async () => (await dialFrom([], serving.address, 8080)) === 'open');
  });
  after(async () => {
    for (const { server } of servers) server.close();
    await t.stop();
    // Beside other cells the last of them puts back what is in their notes, and these are none of theirs.
    for (const address of [ROUTER, CELL, GATEWAY]) await removeAddress(address, notes);
    await left.stop();
    await right.stop();
    if (alone) await writeFile(FORWARDING, forwarded.trim());
    await rm(notes, { recursive: true, force: true });
  });

  async function until(done: () => Promise<boolean>): Promise<void> {
    for (let tries = 0; tries < 50; tries += 1) {
      if (await done()) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assert.fail('it did not come to be');
  }

  test('SECURITY 33: another machine reaches none of the platform’s own addresses, whoever listens there', async () => {
    const open = await listen('10.231.210.1');
    assert.equal(await left.dial('10.231.210.1', open.port), 'open', 'it reaches this machine at all');
    open.server.close();
    for (const { address, port } of servers) {
      assert.equal(await left.dial(address, port), 'silent', `${address}:${port}`);
      assert.equal(await dialFrom([], address, port), 'open', `${address}:${port} from here`);
    }
  });

  test('SECURITY 33: another machine reaches no container', async () => {
    assert.equal(await left.dial(serving.address, 8080), 'silent');
    await serving.setEgressRules(everything);
    assert.equal((await runShell(serving, `exec 3<>/dev/tcp/${left.address}/8001 && echo open`)).output, 'open\n');
    assert.equal(await left.dial(serving.address, 8080), 'silent', 'also where the container reaches the machine');
    await serving.setEgressRules([]);
  });

  test('SECURITY 33: another machine cannot tell an address that has a container from one that has none', async () => {
    const heard = (address: string) => run('ip', ['netns', 'exec', 'tgleft', 'perl', '-e', PROBE, address]);
    const silence = Array(5).fill('silence').join(', ');
    assert.deepEqual(await Promise.all([serving.address, FREE].map(heard)), [silence, silence]);
  });

  test('SECURITY 33: a container cannot tell an address that has another container from one that has none', async () => {
    const asking = await t.garden.create(containerSpec('asking', { egressRules: everything }));
    const heard = async (address: string) => (await runShell(asking, `perl -e '${PROBE}' ${address}`)).output;
    const refused = 'Connection refused';
    // The last by the container's own link.
    const answers = [refused, refused, refused, refused, 'Message too long'].join(', ');
    assert.deepEqual([await heard(serving.address), await heard(FREE)], [answers, answers]);
    await t.garden.destroy('asking');
  });

  test('SECURITY 33: a packet with another source address is dropped, where it is for no container as well', async () => {
    const [forger, twin] = (await Promise.all(
      ['forger', 'twin'].map((name) => t.garden.create(containerSpec(name, { egressRules: everything }))),
    )) as [Container, Container];
    const pids = new Map<string, number>();
    for (const name of await readdir(`${t.settings.rootDirectory}/containers`)) {
      const record = await readFile(`${t.settings.rootDirectory}/containers/${name}/record.json`, 'utf8');
      const { init, handle } = JSON.parse(record);
      pids.set(handle, init.pid);
    }
    const inside = ({ handle }: Container, ...words: string[]) =>
      run('nsenter', ['-t', String(pids.get(handle)), '-n', ...words]);
    const told = async () => /^Icmp: \d+/m.exec(await inside(twin, 'cat', '/proc/net/snmp'))?.[0];
    const before = await told();
    await inside(forger, 'ip', 'address', 'add', `${twin.address}/32`, 'dev', 'eth0');
    const send = `use Socket; socket(my $s, PF_INET, SOCK_DGRAM, 0); bind($s, sockaddr_in(0, inet_aton("${twin.address}"))) or die; send($s, "x", 0, sockaddr_in(99, inet_aton("${FREE}"))) or die`;
    await inside(forger, 'perl', '-e', send);
    await inside(forger, 'ip', 'address', 'delete', `${twin.address}/32`, 'dev', 'eth0');
    assert.match(await inside(forger, 'perl', '-e', PROBE, FREE), /^Connection refused/, 'the next one is answered');
    assert.ok(before);
    assert.equal(await told(), before, 'the other container is told nothing of it');
    for (const name of ['forger', 'twin']) await t.garden.destroy(name);
  });

  test('SECURITY 33: an account of this machine reaches no container and not the containers’ name server; the proxy’s does', async () => {
    assert.equal(await dialFrom(as(NOBODY), serving.address, 8080), 'refused');
    assert.equal(await dialFrom(as(PROXY), serving.address, 8080), 'open');
    assert.equal(await dialFrom([], serving.address, 8080), 'open', 'root, who probes');
    assert.equal(await dialFrom(as(NOBODY), GATEWAY, 53), 'refused');
    assert.equal(await dialFrom(as(NOBODY), ROUTER, servers[0]!.port), 'open', 'what is public');
  });

  test('SECURITY 33: no other machine is forwarded to another where the cell switched forwarding on', async (context) => {
    if (!alone) return context.skip('other cells are on this machine');
    assert.equal((await readFile(FORWARDING, 'utf8')).trim(), '1');
    assert.equal(await left.dial(right.address, 8001), 'silent');
    await run('nft', ['delete', 'table', 'inet', 'cupola.machine']);
    assert.equal(await left.dial(right.address, 8001), 'open', 'it is the rule that holds it');
    assert.equal(await left.dial(ROUTER, servers[0]!.port), 'open');
    await t.garden.checkNetwork();
    assert.equal(await left.dial(right.address, 8001), 'silent', 'and it comes back');
    assert.equal(await left.dial(ROUTER, servers[0]!.port), 'silent');
  });

  test('SECURITY 33: cells that start at once do not take each other’s links out of the guard', async () => {
    const prefixes = ['tgsa', 'tgsb', 'tgsc', 'tgsd', 'tgse'];
    await Promise.all(prefixes.map((prefix) => prepareHost(network(), prefix)));
    const guarded = await run('nft', ['list', 'set', 'inet', 'cupola.machine', 'links']);
    await restoreHost(network());
    for (const prefix of prefixes) assert.ok(guarded.includes(`"${prefix}*"`), guarded);
    assert.doesNotMatch(
      await run('nft', ['list', 'set', 'inet', 'cupola.machine', 'links']),
      /tgs/,
      'they had no table',
    );
  });

  test('a second cell comes and goes without opening what the first closed, and the last leaves nothing', async (context) => {
    if (!alone) return context.skip('other cells are on this machine');
    const second = await startTestGarden('tgq', '10.231.22.0/24', {
      network: { ...network(), range: '10.231.22.0/24', overlay: '10.231.22.0/24' },
    });
    await second.stop();
    assert.equal(await left.dial(right.address, 8001), 'silent');
    assert.equal(await left.dial(ROUTER, servers[0]!.port), 'silent');
    assert.equal(await dialFrom(as(PROXY), serving.address, 8080), 'open');
    await t.stop();
    assert.doesNotMatch(await run('nft', ['list', 'tables']), /cupola/);
    assert.equal((await readFile(FORWARDING, 'utf8')).trim(), '0');
    assert.equal(await run('ip', ['-o', 'address', 'show', 'to', '10.231.21.0/24']), '');
    await writeFile(FORWARDING, '1');
    t = await startTestGarden('tgp', RANGE, { network: network() });
    assert.equal(await left.dial(right.address, 8001), 'open', 'others’ packets pass where the operator forwards');
    assert.equal(await left.dial(ROUTER, servers[0]!.port), 'silent');
  });
});

describe('two cells of one machine', { skip: GARDEN_SKIP }, () => {
  const cells: TestGarden[] = [];
  before(async () => {
    for (const [prefix, range] of [
      ['tgsa', '10.231.24.0/24'],
      ['tgsb', '10.231.25.0/24'],
    ] as const) {
      const network = { range, overlay: '10.231.24.0/23', machinePrefix: 'tgs', gateway: RESOLVER, mtu: 1450 };
      cells.push(await startTestGarden(prefix, range, { network }));
    }
  });
  after(async () => {
    for (const cell of cells) await cell.stop();
  });

  test('SECURITY 33: a container of one cell learns at once that it may not reach one of the other, in either direction', async () => {
    const [first, second] = (await Promise.all(
      cells.map((cell, index) => cell.garden.create(containerSpec(`of-${index}`, { egressRules: everything }))),
    )) as [Container, Container];
    for (const [from, to] of [
      [first, second],
      [second, first],
    ] as const) {
      const { output } = await runShell(from, `timeout 2 bash -c '</dev/tcp/${to.address}/8080' 2>/dev/null; echo $?`);
      assert.equal(output, '1\n', `${from.handle} to ${to.handle}`);
    }
  });
});

describe('what containers share', { skip: GARDEN_SKIP }, () => {
  let t: TestGarden;
  let outside: Outside;
  let greedy: Container;
  let neighbour: Container;
  before(async () => {
    outside = await startOutside('tgshare', '10.231.212.1', '10.231.212.2', [8001]);
    t = await startTestGarden('tgr', '10.231.23.0/24', {
      network: { range: '10.231.23.0/24', gateway: RESOLVER, mtu: 1450 },
    });
    [greedy, neighbour] = (await Promise.all(
      ['greedy', 'neighbour'].map((name) => t.garden.create(containerSpec(name, { egressRules: everything }))),
    )) as [Container, Container];
  });
  after(async () => {
    await t.stop();
    await outside.stop();
  });

  test('SECURITY 33: no metadata service of any cloud is reached, with everything allowed', async () => {
    // Played by the machine outside, beside an address that is nobody's.
    const played = metadataNetworks(4).map((network) =>
      network === '169.254.0.0/16' ? '169.254.169.254' : network.split('/')[0]!,
    );
    const places = ['203.0.113.9', ...played];
    for (const address of places) {
      await run('ip', ['-n', 'tgshare', 'address', 'add', `${address}/32`, 'dev', 'lo']);
      await run('ip', ['route', 'replace', `${address}/32`, 'via', outside.address]);
    }
    try {
      const script = places.map(
        (address) => `timeout 2 bash -c '</dev/tcp/${address}/8001' 2>/dev/null && echo ${address}`,
      );
      const { output } = await runShell(greedy, `${script.join('\n')}\ntrue`);
      assert.equal(output, '203.0.113.9\n');
    } finally {
      for (const address of places) await run('ip', ['route', 'delete', `${address}/32`]);
    }
  });

  test('SECURITY 32: a container has its share of connections and no more, and its neighbour does not notice', async () => {
    // Kept open until it is told to go on, by a file.
    const script = `
      use Socket; my @open; my $refused = 0;
      for (1 .. 1200) {
        socket(my $s, PF_INET, SOCK_STREAM, 0) or die "socket $!";
        if (connect($s, sockaddr_in(8001, inet_aton("${outside.address}")))) { push @open, $s } else { $refused++ }
      }
      print scalar(@open), " $refused\\n"; $| = 1; print "";
      select undef, undef, undef, 0.1 until -e "/tmp/enough";`;
    const bomb = runShell(greedy, `perl -e '${script}'`);
    await until(async () => outside.accepted() >= CONNECTIONS);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const reached = 'timeout 2 bash -c "</dev/tcp/ADDRESS/8001" 2>/dev/null && echo open || echo refused'.replace(
      'ADDRESS',
      outside.address,
    );
    assert.equal((await runShell(neighbour, reached)).output, 'open\n');
    assert.equal((await runShell(greedy, reached)).output, 'refused\n');
    await runShell(greedy, 'touch /tmp/enough');
    assert.equal((await bomb).output, `${CONNECTIONS} ${1200 - CONNECTIONS}\n`);
    await until(async () => (await runShell(greedy, reached)).output === 'open\n');
  });

  test('SECURITY 32: a container has its share of the name server’s time and no more, and its neighbour does not notice', async (context) => {
    const heard = new Map<string, number>();
    const names = createSocket('udp4');
    names.on('message', (_, from) => {
      heard.set(from.address, (heard.get(from.address) ?? 0) + 1);
      names.send('answer', from.port, from.address);
    });
    await new Promise<void>((resolve) => names.bind(53, RESOLVER, resolve));
    context.after(() => names.close());
    const held: Socket[] = [];
    const server = createServer((socket) => held.push(socket.on('error', () => {})));
    await new Promise<void>((resolve) => server.listen(53, RESOLVER, resolve));
    context.after(() => {
      for (const socket of held) socket.destroy();
      server.close();
    });
    const client = (count: number, sockets: number): string => `perl -MIO::Socket::INET -e '
      my @s = map { IO::Socket::INET->new(PeerAddr => "${RESOLVER}:53", Proto => "udp") } 1 .. ${sockets};
      for (1 .. ${count}) { $s[$_ % @s]->send("?"); select undef, undef, undef, 0.01 if $_ % 50 == 0 }
      $SIG{ALRM} = sub { exit 1 }; alarm 2; $s[0]->recv($a, 99); print $a'`;
    const began = performance.now();
    await runShell(greedy, client(4 * NAME_QUERIES.burst, 40));
    const seconds = (performance.now() - began) / 1000;
    const most = NAME_QUERIES.burst + NAME_QUERIES.perSecond * (seconds + 1);
    const passed = heard.get(greedy.address) ?? 0;
    assert.ok(passed >= NAME_QUERIES.burst && passed <= most, `${passed} of ${4 * NAME_QUERIES.burst}, ${seconds} s`);
    assert.equal((await runShell(neighbour, client(2 * 250, 4))).output, 'answer', 'of 250 look-ups none is lost');
    assert.equal(heard.get(neighbour.address), 500);

    const many = `perl -MIO::Socket::INET -e 'my @s = grep { $_ } map { IO::Socket::INET->new(PeerAddr => "${RESOLVER}:53") } 1 .. 10; print scalar @s'`;
    assert.equal((await runShell(greedy, many)).output, String(NAME_CONNECTIONS), 'connections are a process there');
  });

  async function until(done: () => Promise<boolean>): Promise<void> {
    for (let tries = 0; tries < 100; tries += 1) {
      if (await done()) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assert.fail('it did not come to be');
  }
});
