import assert from 'node:assert/strict';
import { once } from 'node:events';
import { buffer, text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import type ssh2 from 'ssh2';
import type { ClientChannel } from 'ssh2';
import { EgressRuleSchema } from '../../../src/contracts/gen/diego_pb.js';
import { GARDEN_SKIP } from '../../support/garden.ts';
import { startOutside } from '../../support/outside.ts';
import { APP, exec, outcome, TestSshProxy } from '../../support/ssh-proxy.ts';

/** Says when it listens, and keeps whoever comes. */
const LISTENER = `exec perl -MIO::Socket::INET -e 'my $s = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => 9001, Listen => 9); $| = 1; print "up"; push @kept, $_ while $_ = $s->accept'`;

describe('the SSH proxy before a real container', { skip: GARDEN_SKIP }, () => {
  const t = new TestSshProxy(22_310);

  before(() => t.start('qsb', '10.232.42.0/24'));
  after(() => t.stop());

  test('CC-04: a command runs in the instance, in its environment, with input, output, errors and exit code', async () => {
    const one = await t.logIn();
    const channel = await exec(one, 'cat; pwd; echo $HOME $PLANTED; echo wrong >&2; exit 9');
    channel.end('typed\n');
    const { code, out, err } = await outcome(channel);
    assert.equal(out, 'typed\n/home/vcap\n/home/vcap planted-environment\n');
    assert.deepEqual([code, err], [9, 'wrong\n']);
    one.end();
  });

  test("APM-02: the app's log says who came in and went; of a refused login it says nothing", async () => {
    const said = () =>
      t.appLog.map(({ message }) => (message.case === 'log' ? Buffer.from(message.value.payload).toString() : ''));
    const until = async (count: number) => {
      for (let turn = 0; turn < 400 && t.appLog.length < count; turn++)
        await new Promise((wake) => setTimeout(wake, 25));
      assert.equal(t.appLog.length, count, said().join('\n'));
    };
    await new Promise((wake) => setTimeout(wake, 300)); // the end of the session before
    t.appLog.length = 0;
    await t.refused({ password: 'made-up-code' });
    const one = await t.logIn();
    await until(1);
    const [, from] = /^Successful remote access by (127\.0\.0\.1:\d+)$/.exec(said()[0] ?? '') ?? [];
    assert.ok(from, said().join());
    one.end();
    await until(2);
    assert.equal(said()[1], `Remote access ended for ${from}`);
    for (const { sourceId, instanceId, tags } of t.appLog) {
      assert.deepEqual([sourceId, instanceId], [APP, '0']);
      const { app_id, app_name, source_type, instance_id, process_instance_id } = tags;
      assert.deepEqual([app_id, app_name, source_type], [APP, 'shelly', 'SSH']);
      assert.deepEqual([instance_id, process_instance_id], ['0', 'instance']);
    }
  });

  test('a shell has a terminal of the size the client says, and of the next one', async () => {
    const one = await t.logIn();
    const channel = await new Promise<ClientChannel>((resolve, reject) =>
      one.shell({ cols: 111, rows: 22, term: 'xterm' }, (error, made) => (error ? reject(error) : resolve(made))),
    );
    let seen = '';
    channel.on('data', (chunk: Buffer) => {
      seen += chunk;
    });
    const until = async (pattern: RegExp) => {
      for (let count = 0; count < 400 && !pattern.test(seen); count++) await new Promise((r) => setTimeout(r, 25));
      assert.match(seen, pattern);
    };
    channel.write('stty size; echo $TERM\r');
    await until(/22 111\r\nxterm\r\n/);
    channel.setWindow(50, 140, 0, 0);
    channel.write('sleep 0.3; stty size\r');
    await until(/50 140\r\n/);
    const exit = once(channel, 'exit');
    channel.write('exit 4\r');
    assert.equal((await exit)[0], 4);
    one.end();
  });

  test('much goes through whole, both ways, and a reader who stops stops the writer', async () => {
    const one = await t.logIn();
    const down = await exec(one, 'head -c 8000000 /dev/urandom | tee /tmp/random; sha256sum < /tmp/random >&2');
    await new Promise((resolve) => setTimeout(resolve, 500)); // the window is full now
    const [bytes, sum] = await Promise.all([buffer(down), text(down.stderr)]);
    assert.equal(bytes.length, 8_000_000);
    const up = await exec(one, 'sha256sum');
    up.end(bytes);
    assert.equal((await outcome(up)).out, sum);
    one.end();
  });

  test('a signal of the client reaches the command; so does the end of its connection', async () => {
    const one = await t.logIn();
    const channel = await exec(one, 'trap "exit 6" TERM; echo ready; while :; do sleep 0.05; done');
    channel.once('data', () => setTimeout(() => channel.signal('TERM'), 200));
    assert.equal((await once(channel, 'exit'))[0], 6);
    const lasting = await exec(one, 'echo here; exec sleep 71');
    await once(lasting, 'data');
    one.destroy();
    const count = async () => (await outcome(await exec(two, 'pgrep -c -x sleep'))).out.trim();
    const two = await t.logIn();
    for (let attempt = 0; attempt < 100 && (await count()) !== '0'; attempt++)
      await new Promise((r) => setTimeout(r, 50));
    assert.equal(await count(), '0');
    two.end();
  });

  test('remote forwarding, X11, agents, other subsystems and local sockets are refused', async () => {
    const one = await t.logIn({ strictVendor: false }); // else this client does not even ask for a local socket
    await assert.rejects(
      new Promise((resolve, reject) =>
        one.forwardIn('127.0.0.1', 22_399, (error, port) => (error ? reject(error) : resolve(port))),
      ),
      /Unable to bind/,
    );
    await assert.rejects(exec(one, 'true', { x11: true }), /Unable to request X11|SAY2/);
    await assert.rejects(
      new Promise((_resolve, reject) => one.subsys('netconf', (error) => reject(error))),
      /Unable to start subsystem: netconf/,
    );
    await assert.rejects(
      new Promise((_resolve, reject) => one.openssh_forwardOutStreamLocal('/run/x', (error) => reject(error))),
      /Channel open failure/,
    );
    assert.equal((await outcome(await exec(one, 'exit 3'))).code, 3, 'the connection goes on');
    one.end();
  });

  test('SECURITY-TESTS 33: a forwarded connection begins in the container and obeys its egress rules', async () => {
    const one = await t.logIn();
    const server = await exec(
      one,
      `exec perl -MIO::Socket::INET -e 'my $s = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => 9000, Listen => 5); $| = 1; print "up"; while (my $c = $s->accept) { local $/; my $all = <$c>; print $c scalar reverse $all; close $c }'`,
    );
    await once(server, 'data');
    const channel = await forward(one, 'localhost', 9000);
    channel.end('olleh');
    assert.equal(await text(channel), 'hello');
    // The listeners of this very test, of the proxy and of the cell, on the host's loopback; metadata; the gateway.
    for (const [host, port] of [
      ['127.0.0.1', t.publicPort],
      ['127.0.0.1', t.rpcPort],
      ['169.254.169.254', 80],
      ['169.254.1.1', 22],
      ['192.0.2.2', t.rpcPort],
    ] as const) {
      await assert.rejects(forward(one, host, port), /Channel open failure/, `${host}:${port}`);
    }
    const outside = await startOutside('outssh', '10.232.61.1', '10.232.61.2', [22_303]);
    try {
      await assert.rejects(forward(one, outside.address, 22_303), /Channel open failure/, 'no rule allows it');
      await t.container.setEgressRules([
        create(EgressRuleSchema, { protocol: 'tcp', destination: outside.address, ports: '22303' }),
      ]);
      assert.equal(await text(await forward(one, outside.address, 22_303)), 'outside');
    } finally {
      await t.container.setEgressRules([]);
      await outside.stop();
    }
    one.end();
  });

  test('sessions and connections of one client are bounded, and come back', async () => {
    const one = await t.logIn();
    const held = await Promise.all([1, 2, 3].map(() => exec(one, 'read line')));
    await assert.rejects(exec(one, 'true'));
    for (const channel of held) channel.end('\n');
    await Promise.all(held.map((channel) => once(channel, 'exit')));
    // Their places are free once their processes are gone.
    let again: ClientChannel | null = null;
    for (let turn = 0; turn < 200 && !again; turn++) {
      again = await exec(one, 'echo again').catch(() => null);
      if (!again) await new Promise((resolve) => setTimeout(resolve, 25));
    }
    assert.equal((await outcome(again!)).out, 'again\n');
    const server = await exec(one, LISTENER);
    await once(server, 'data');
    const connections = await Promise.all([1, 2, 3, 4].map(() => forward(one, 'localhost', 9001)));
    await assert.rejects(forward(one, 'localhost', 9001), /Channel open failure/, 'the sixth with the session');
    for (const connection of connections) connection.end();
    one.end();
  });

  test('a keepalive is answered', async () => {
    const one = await t.logIn();
    const protocol: unknown = Reflect.get(one, '_protocol');
    const callbacks: unknown = Reflect.get(one, '_callbacks');
    assert.ok(protocol && typeof protocol === 'object' && Array.isArray(callbacks));
    // The library sends keepalive@openssh.com itself and waits for each answer.
    const answered = new Promise<void>((resolve) => callbacks.push(() => resolve()));
    const ping: unknown = Reflect.get(protocol, 'ping');
    assert.ok(typeof ping === 'function');
    ping.call(protocol);
    await answered;
    one.end();
  });

  test('connections end with the instance, their commands with them', async () => {
    const one = await t.logIn();
    const channel = await exec(one, 'echo up; exec sleep 72');
    await once(channel, 'data');
    const [exit, closed] = [once(channel, 'exit'), once(one, 'close')];
    t.endInstance();
    assert.equal((await exit)[0], 137);
    await closed;
  });

  test('where the proxy ends, the log of the app says that its sessions did', async () => {
    const one = await t.logIn();
    const closed = once(one, 'close');
    t.appLog.length = 0;
    await t.stopProxy();
    await closed;
    const texts = t.appLog.map(({ message }) =>
      message.case === 'log' ? Buffer.from(message.value.payload).toString() : '',
    );
    assert.match(texts.at(-1) ?? '', /^Remote access ended for /);
  });
});

function forward(one: ssh2.Client, host: string, port: number): Promise<ClientChannel> {
  return new Promise((resolve, reject) =>
    one.forwardOut('127.0.0.1', 1, host, port, (error, channel) => (error ? reject(error) : resolve(channel))),
  );
}
