import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { createGarden } from '../../../src/cell/garden/create-garden.ts';
import type { Container, ContainerSession, SessionSpec } from '../../../src/cell/garden/garden.ts';
import { EgressRuleSchema } from '../../../src/contracts/gen/diego_pb.js';
import { run } from '../../../src/kit/process.ts';
import { containerSpec, GARDEN_SKIP, runShell, shell, startTestGarden, type TestGarden } from '../../support/garden.ts';
import { startOutside } from '../../support/outside.ts';

const { id: _, ...BASE } = shell('session', '');
const bash = (script: string, changes: Partial<SessionSpec> = {}): SessionSpec => ({
  ...BASE,
  args: ['/bin/bash', '-c', script],
  ...changes,
});
const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function outcome(session: ContainerSession): Promise<{ code: number; out: string; err: string }> {
  const [code, out, err] = await Promise.all([session.exit, text(session.stdout), text(session.stderr)]);
  return { code, out, err };
}

/** Processes of the machine whose command line has the word. */
async function running(word: string): Promise<number> {
  const lines = (await run('ps', ['-eo', 'args'])).split('\n');
  return lines.filter((line) => line.includes(word) && !line.includes('bash -c')).length;
}

async function until(what: string | (() => string), condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!(await condition())) {
    if (Date.now() > deadline) assert.fail(`never: ${typeof what === 'string' ? what : what()}`);
    await pause(25);
  }
}

describe('sessions in a container', { skip: GARDEN_SKIP }, () => {
  let t: TestGarden;
  let container: Container;
  before(async () => {
    t = await startTestGarden('qsa', '10.232.40.0/24');
    container = await t.garden.create(containerSpec('app'));
  });
  after(() => t.stop());

  test('CC-04: a command gets its input and gives output, errors and exit code apart', async () => {
    const session = await container.open(bash('cat; echo wrong >&2; exit 7'));
    session.stdin.end('typed');
    assert.deepEqual(await outcome(session), { code: 7, out: 'typed', err: 'wrong\n' });
  });

  test('SECURITY 22, 31: its process is confined as the app is: seccomp, no new privileges, no capability, vcap', async () => {
    for (const terminal of [undefined, { columns: 80, rows: 24 }]) {
      const session = await container.open(
        bash('id -u; id -G; grep -E "^(Seccomp|NoNewPrivs|Cap...):" /proc/self/status; unshare -U true 2>&1', {
          terminal,
        }),
      );
      session.stdin.end();
      const { code, out } = await outcome(session);
      assert.match(out, /^2000\r?\n2000\r?\n/);
      const capabilities = ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'].map((set) => `${set}:\t0000000000000000`);
      for (const line of [...capabilities, 'NoNewPrivs:\t1', 'Seccomp:\t2']) {
        assert.ok(out.includes(line), `${line} in ${out}`);
      }
      assert.equal(code, 1, 'no user namespace');
      assert.match(out, /unshare failed: Operation not permitted/);
    }
  });

  test('it counts against the limits of its container', async () => {
    const session = await container.open(bash('exec perl -e \'my $x = "x" x 2e8; my $y = $x . $x; sleep 1\''));
    assert.equal((await outcome(session)).code, 137);
  });

  test('a terminal echoes, knows its size, and learns a new one', async () => {
    const session = await container.open(
      // runc turns it off some time after the program began (lifecycle/session).
      bash('while [[ $(stty -a) == *" onlcr"* ]]; do :; done; stty onlcr; tty; stty size; exec perl -e "$PROGRAM"', {
        environment: {
          ...BASE.environment,
          PROGRAM: '$SIG{WINCH} = sub { system("stty size") }; $| = 1; print "got ", scalar <STDIN>; <STDIN>',
        },
        terminal: { columns: 100, rows: 30 },
      }),
    );
    let seen = '';
    session.stdout.on('data', (chunk: Buffer) => {
      seen += chunk;
    });
    await until('the first size', async () => seen.includes('30 100') && seen.includes('/dev/pts/'));
    session.stdin.write('hello\r');
    await until(
      () => `the echo and the answer in ${JSON.stringify(seen)}`,
      async () => /hello\r\ngot hello/.test(seen),
    );
    session.resize(132, 43);
    await until(
      () => `the new size in ${JSON.stringify(seen)}`,
      async () => seen.includes('43 132'),
    );
    session.stdin.write('\r');
    assert.equal(await session.exit, 0);
  });

  test('the interrupt key of a terminal reaches what runs in it', async () => {
    const session = await container.open(bash('sleep 61; echo "code $?"', { terminal: { columns: 80, rows: 24 } }));
    await until('it runs', async () => (await running('sleep 61')) === 1);
    session.stdin.write('\x03');
    assert.equal(await session.exit, 130);
    assert.equal(await running('sleep 61'), 0);
  });

  test('a signal reaches the process', async () => {
    const session = await container.open(
      bash('trap "echo told; exit 3" USR1; echo ready; while :; do sleep 0.05; done'),
    );
    session.stdout.once('data', () => setTimeout(() => session.signal('USR1'), 200));
    assert.equal(await session.exit, 3);
    session.signal('USR1');
    session.signal('NONSENSE');
  });

  test('what a command leaves in the background ends with it, however it hides', async () => {
    const session = await container.open(
      bash('(setsid sleep 62 &) ; nohup sleep 62 > /dev/null 2>&1 & sleep 0.2; echo done'),
    );
    const { code, out } = await outcome(session);
    assert.deepEqual([code, out], [0, 'done\n']);
    await until('all of it is gone', async () => (await running('sleep 62')) === 0);
  });

  test('a command that ends at once and leaves something in the background ends too', async () => {
    for (let turn = 0; turn < 5; turn++) {
      const session = await container.open(bash('sleep 67 & echo done'));
      const began = Date.now();
      const { code, out } = await outcome(session);
      assert.deepEqual([code, out], [0, 'done\n']);
      assert.ok(Date.now() - began < 10_000);
    }
    await until('all of it is gone', async () => (await running('sleep 67')) === 0);
  });

  test('SECURITY 30: it has a bounded number of sessions, before the kernel refuses keys, and one that ended makes place', async () => {
    const many = await t.garden.create(
      containerSpec('many', {
        limits: { memoryBytes: 256 * 1024 ** 2, diskBytes: 64 * 1024 ** 2, pids: 256, cpuShares: 128 },
      }),
    );
    const open = () => many.open(bash('echo in; exec cat'));
    const sessions: ContainerSession[] = [];
    for (let count = 0; count < 100; count++) sessions.push(await open());
    await Promise.all(sessions.map(({ stdout }) => once(stdout, 'data')));
    await assert.rejects(open(), { code: 'too_many_sessions' });
    assert.equal((await runShell(many, 'echo the app goes on')).output, 'the app goes on\n');
    sessions[0]!.stdin.end();
    await sessions[0]!.exit;
    const again = await open();
    await once(again.stdout, 'data');
    await t.garden.destroy('many');
  });

  test('ended from outside, nothing of it is left, even while it forks', async () => {
    const session = await container.open(bash('f() { sleep 63 & sleep 0.01; f; }; trap "" TERM HUP; f'));
    await pause(300);
    await session.end();
    assert.equal(await running('sleep 63'), 0);
    assert.equal(await session.exit, 137);
  });

  test('a fast producer waits for a slow reader', async () => {
    const session = await container.open(bash('exec yes'));
    await pause(500);
    assert.ok(session.stdout.readableLength < 1_000_000, String(session.stdout.readableLength));
    await session.end();
  });

  test('a terminal whose process does not read makes the writer wait and nobody else', async () => {
    const session = await container.open(bash('stty raw; sleep 64', { terminal: { columns: 80, rows: 24 } }));
    let waits = false;
    for (let count = 0; count < 200 && !waits; count++) waits = !session.stdin.write(Buffer.alloc(4096, 'x'));
    assert.ok(waits);
    // Another session goes on meanwhile.
    assert.equal((await outcome(await container.open(bash('echo beside')))).out, 'beside\n');
    await session.end();
  });

  test('the next cell process finds none of it, nor its environment on disk', async () => {
    const session = await container.open(bash('setsid sleep 65 & exec sleep 65'));
    await until('both run', async () => (await running('sleep 65')) === 2);
    // As a killed process leaves it: nobody ends the session.
    const state = `${t.settings.rootDirectory}/containers`;
    const [number] = await readdir(state);
    const kept = () => readdir(`${state}/${number}/sessions`);
    assert.ok((await kept()).length > 0, 'it has a directory');
    const before = t.garden;
    t.garden = await createGarden(t.settings);
    assert.equal(await running('sleep 65'), 0);
    await assert.rejects(kept(), { code: 'ENOENT' });
    await before.close();
    container = (await t.garden.lookup('app'))!;
    assert.equal((await runShell(container, 'echo still here')).output, 'still here\n');
    await session.exit;
  });

  test('it ends with its container', async () => {
    const gone = await t.garden.create(containerSpec('gone'));
    const session = await gone.open(bash('sleep 66', { terminal: { columns: 80, rows: 24 } }));
    await until('it runs', async () => (await running('sleep 66')) === 1);
    await t.garden.destroy('gone');
    assert.equal(await session.exit, 137);
    await assert.rejects(gone.open(bash('true')), /is gone/);
  });

  describe('connections from inside its network', () => {
    const SERVER = `exec perl -MIO::Socket::INET -e '
      my $s = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => 8080, Listen => 5, ReuseAddr => 1) or die;
      while (my $c = $s->accept) { my $line = <$c>; print $c "you said $line"; while (<$c>) { print $c "more $_" } close $c }'`;
    let other: Container;
    before(async () => {
      await container.run(shell('server', SERVER));
      other = await t.garden.create(containerSpec('other'));
      await other.run(shell('server', SERVER.replace('127.0.0.1', '0.0.0.0')));
    });
    const talk = async (socket: Socket, words: string): Promise<string> => {
      socket.end(words);
      return text(socket);
    };

    test('reach what listens on its loopback, by address and by name, each side ending for itself', async () => {
      await until('the server listens', () =>
        container.dial('127.0.0.1', 8080).then(
          (socket) => socket.destroy().destroyed,
          () => false,
        ),
      );
      assert.equal(
        await talk(await container.dial('127.0.0.1', 8080), 'hello\nagain\n'),
        'you said hello\nmore again\n',
      );
      assert.equal(await talk(await container.dial('localhost', 8080), 'name\n'), 'you said name\n');
    });

    test('SECURITY-TESTS 33: are refused towards the metadata address, the host and another tenant', async () => {
      const host = (await run('hostname', ['-I'])).trim().split(/\s+/)[0] ?? '10.232.40.254';
      const { createServer } = await import('node:net');
      const server = createServer((socket) => socket.end('the host')).listen(8080, '0.0.0.0');
      await new Promise((resolve) => server.once('listening', resolve));
      await container.setEgressRules([{ protocol: 'all', destination: '0.0.0.0/0' } as never]);
      try {
        for (const address of ['169.254.169.254', '169.254.1.1', host, other.address]) {
          const began = Date.now();
          await assert.rejects(container.dial(address, 8080), { code: 'connection_refused' }, address);
          assert.ok(Date.now() - began < 3000, `${address} is refused at once`);
        }
      } finally {
        server.close();
        await container.setEgressRules([]);
      }
    });

    test('do not come out in the host network when a loopback port of the host is named', async () => {
      const { createServer } = await import('node:net');
      const server = createServer((socket) => socket.end('the host')).listen(0, '127.0.0.1');
      await new Promise((resolve) => server.once('listening', resolve));
      const address = server.address();
      assert.ok(typeof address === 'object' && address);
      try {
        await assert.rejects(container.dial('127.0.0.1', address.port), { code: 'connection_refused' });
      } finally {
        server.close();
      }
    });

    test('follow the egress rules as they are now', async () => {
      const outside = await startOutside('outqsa', '10.232.41.1', '10.232.41.2', [22_301]);
      try {
        await assert.rejects(container.dial(outside.address, 22_301), { code: 'connection_refused' });
        await container.setEgressRules([
          create(EgressRuleSchema, { protocol: 'tcp', destination: outside.address, ports: '22301' }),
        ]);
        assert.equal(await talk(await container.dial(outside.address, 22_301), 'hello\n'), 'outside');
      } finally {
        await container.setEgressRules([]);
        await outside.stop();
      }
    });

    test('need a plain name', async () => {
      for (const name of ['', '-a', 'a b', '../x', '::1', 'no-such-name.invalid', 'a'.repeat(300)]) {
        await assert.rejects(container.dial(name, 80), { code: 'connection_refused' }, name);
      }
    });
  });
});
