import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import type { Container } from '../../../src/cell/garden/garden.ts';
import { Logger } from '../../../src/kit/log.ts';
import { run } from '../../../src/kit/process.ts';
import { containerSpec, GARDEN_SKIP, runShell, shell, startTestGarden, type TestGarden } from '../../support/garden.ts';
import { type Outside, startOutside } from '../../support/outside.ts';

const RANGE = '10.231.24.0/24';
const everything = [{ protocol: 'all', destination: '0.0.0.0/0', ports: '', type: 0, code: 0, log: false }] as never;
/** Accepts and neither reads nor closes; answers the first datagram each time it is told to. */
const PEER = `
const net = require('node:net'), udp = require('node:dgram').createSocket('udp4');
net.createServer({ pauseOnConnect: true, allowHalfOpen: true }, (s) => { s.on('error', () => {}); console.log('connected') }).listen(8100);
udp.once('message', (_, { port, address }) => {
  console.log('asked');
  process.stdin.on('data', () => udp.send('late answer', port, address, () => console.log('answered')));
});
udp.bind(8100, () => console.log('ready'));
`;

/** What the machine tracks of an address, whoever began it. */
async function tracked(address: string): Promise<number> {
  const [from, to] = await Promise.all(
    ['-s', '-d'].map((side) => run('conntrack', ['-L', '-f', 'ipv4', side, address])),
  );
  return `${from}${to}`.split('\n').filter(Boolean).length;
}

/** Entries that nobody's packet made. */
async function track(entries: readonly string[]): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'tracked-'));
  await writeFile(join(directory, 'entries'), `${entries.join('\n')}\n`);
  await run('conntrack', ['-R', join(directory, 'entries')]);
  await rm(directory, { recursive: true });
}

describe('what is tracked of a container that ended', { skip: GARDEN_SKIP }, () => {
  let t: TestGarden;
  let outside: Outside;
  let peer: ChildProcess;
  let said: Interface;
  const lines: string[] = [];
  const logged: string[] = [];

  before(async () => {
    outside = await startOutside('tgconn', '10.231.212.1', '10.231.212.2', [8001]);
    peer = spawn('ip', ['netns', 'exec', 'tgconn', process.execPath, '-e', PEER], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    said = createInterface({ input: peer.stdout! }).on('line', (line) => lines.push(line));
    await until(() => lines.includes('ready'));
    // Two numbers alone: the next container gets the address of the one that went.
    t = await startTestGarden('tgu', RANGE, {
      maxContainers: 2,
      log: new Logger('garden', {}, (line) => logged.push(line)),
    });
  });
  after(async () => {
    const gone = new Promise((resolve) => peer.once('exit', resolve));
    peer.kill('SIGKILL');
    await gone;
    said.close();
    await t.stop();
    await outside.stop();
  });

  async function until(done: () => boolean | Promise<boolean>): Promise<void> {
    for (let tries = 0; tries < 100; tries += 1) {
      if (await done()) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.fail('it did not come to be');
  }

  const connected = () => lines.filter((line) => line === 'connected').length;

  /** Holds `count` TCP connections to the peer, with more to send than it takes, and has asked it by UDP from port 4000. */
  async function entangle(container: Container, count: number): Promise<void> {
    const before = connected();
    const script = `
      use Socket; my @open; $| = 1;
      socket(my $u, PF_INET, SOCK_DGRAM, 0); bind($u, sockaddr_in(4000, INADDR_ANY));
      send($u, "question", 0, sockaddr_in(8100, inet_aton("${outside.address}")));
      for (1 .. ${count}) {
        socket(my $s, PF_INET, SOCK_STREAM, 0); connect($s, sockaddr_in(8100, inet_aton("${outside.address}"))) or die;
        push @open, $s;
      }
      use Fcntl; fcntl($open[0], F_SETFL, O_NONBLOCK); 1 while syswrite($open[0], "x" x 65536);
      sleep 600;`;
    await container.run(shell('entangled', `perl -e '${script}'`));
    await until(() => connected() === before + count);
  }

  test('SECURITY 33: the next container with its address gets no packet that was meant for it, and its share is whole', async () => {
    const first = await t.garden.create(containerSpec('first', { egressRules: everything }));
    const neighbour = await t.garden.create(containerSpec('neighbour', { egressRules: everything }));
    await entangle(first, 20);
    await neighbour.run(shell('open', `exec 3<>/dev/tcp/${outside.address}/8100; sleep 600`));
    await until(() => lines.includes('asked') && connected() === 21);
    // What others begin is tracked as well.
    await track(['-I -p udp -s 192.0.2.7 -d ADDRESS --sport 1 --dport 1 -t 600'.replace('ADDRESS', first.address)]);
    assert.ok((await tracked(first.address)) >= 21, `${await tracked(first.address)} tracked`);
    const ofNeighbour = await tracked(neighbour.address);
    assert.ok(ofNeighbour > 0);

    await t.garden.destroy('first');
    assert.equal(await tracked(first.address), 0);
    assert.equal(await tracked(neighbour.address), ofNeighbour, 'others keep theirs');

    const second = await t.garden.create(containerSpec('second'));
    assert.equal(second.address, first.address);
    const script = `
      use Socket; socket(my $u, PF_INET, SOCK_DGRAM, 0); bind($u, sockaddr_in(4000, INADDR_ANY)); my $in = "";
      vec($in, fileno($u), 1) = 1; system("touch /tmp/bound");
      print select($in, undef, undef, 3) ? "a packet\\n" : "nothing\\n";`;
    const listening = runShell(second, `perl -e '${script}'`);
    await until(async () => (await runShell(second, 'ls /tmp')).output.includes('bound'));
    peer.stdin!.write('now\n');
    await until(() => lines.includes('answered'));
    assert.equal((await listening).output, 'nothing\n');
    await t.garden.destroy('second');
    await t.garden.destroy('neighbour');
  });

  test('a container of which nothing is tracked goes without a word in the log', async () => {
    await t.garden.create(containerSpec('silent'));
    logged.length = 0;
    await t.garden.destroy('silent');
    assert.deepEqual(logged, []);
  });

  test('thousands of entries go with their container at once, and none of others', async (context) => {
    const [one, other] = [await t.garden.create(containerSpec('one')), await t.garden.create(containerSpec('other'))];
    const foreign = '203.0.113.77';
    const entries = [one.address, other.address, '192.0.2.7'].flatMap((address, i) =>
      Array.from(
        { length: 4000 },
        (_, n) => `-I -p udp -s ${address} -d ${foreign} --sport ${n + 1} --dport ${i + 1} -t 600`,
      ),
    );
    context.after(() => run('conntrack', ['-D', '-d', foreign]));
    await track(entries);
    assert.equal(await tracked(foreign), 12_000);
    await Promise.all([t.garden.destroy('one'), t.garden.destroy('other')]);
    assert.deepEqual([await tracked(one.address), await tracked(other.address)], [0, 0]);
    assert.equal(await tracked(foreign), 4000);
  });
});
