import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { metadataNetworks } from '../../../src/contracts/metadata-addresses.ts';
import { run } from '../../../src/kit/process.ts';
import { ownAddresses, routerAddress, routerPorts } from '../../../src/platform/addresses.ts';
import { instances, variable } from '../../support/fault-targets.ts';
import { NO_OFFICIAL_CF, officialCf } from '../../support/official-cf.ts';
import { dialFrom, startOutside } from '../../support/outside.ts';
import { ROOT } from '../../support/platform.ts';
import { SharedPlatform } from '../../support/shared-platform.ts';

const CF = officialCf() ?? '';
const SKIP = process.getuid?.() !== 0 ? 'needs root' : CF === '' ? NO_OFFICIAL_CF : false;

describe('a tenant that attacks its neighbours and the platform', { skip: SKIP }, () => {
  const platform = new SharedPlatform(CF, 'victims');
  const cf = (...args: string[]) => platform.cf(CF, args);

  before(async () => {
    await platform.enter();
    await push('steady', '64M');
    await platform.makeOrg(CF, 'villains');
    await push('attacker', '128M');
  });
  after(async () => {
    await cf('delete-org', 'villains', '-f').catch(() => {}); // what is left of it the platform tells
    await platform.leave();
  });

  async function push(app: string, memory: string): Promise<void> {
    const scale = ['-m', memory, '-k', '512M', '-i', '2'];
    await cf('push', app, '-p', join(ROOT, 'test/fixtures', app), '-b', 'nodejs_buildpack', ...scale);
    await platform.allInstances(CF, app);
  }

  /** Runs a script in the attacker's container: what it printed. */
  async function attack(script: string): Promise<string> {
    const { status, body } = await platform.ask('attacker', '/', { body: script });
    assert.equal(status, 200, body);
    return body;
  }

  /** Those of `places` ("address port") that take a connection from the attacker's container. */
  async function open(places: readonly string[]): Promise<string[]> {
    const tries = places.map((place) => {
      const [address, port] = place.split(' ');
      return `(timeout 2 bash -c '</dev/tcp/${address}/${port}' 2>/dev/null && echo "open ${place}") &`;
    });
    const said = await attack(`${tries.join('\n')}\nwait; echo done`);
    assert.match(said, /^done$/m);
    return [...said.matchAll(/^open (.*)$/gm)].map((match) => match[1]!);
  }

  test('the attacker can make connections at all, so that refusals mean something', async () => {
    assert.deepEqual(await open(['127.0.0.1 8080']), ['127.0.0.1 8080']);
  });

  test('IID-11: with their credentials two parties complete mutual TLS, and without them none does', async () => {
    const said = await attack(`cat > /tmp/tls.js <<'END'
const { connect, createServer } = require('node:tls');
const { readFileSync } = require('node:fs');
const own = { cert: readFileSync(process.env.CF_INSTANCE_CERT), key: readFileSync(process.env.CF_INSTANCE_KEY) };
const ca = readFileSync(process.env.CF_SYSTEM_CERT_PATH + '/trusted-ca-1.crt');
const server = createServer({ ...own, ca, requestCert: true }, (socket) => socket.end(socket.getPeerCertificate().subject.CN));
server.on('tlsClientError', () => {});
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address();
  const call = (name, credentials, then) => {
    let text = '';
    const socket = connect({ port, host: '127.0.0.1', ca, servername: process.env.CF_INSTANCE_GUID, ...credentials });
    socket.on('data', (data) => { text += data; });
    socket.on('error', (error) => { text = error.code; });
    socket.on('close', () => { console.log(name, text === process.env.CF_INSTANCE_GUID ? 'knows me' : 'refused'); then(); });
  };
  call('with', own, () => call('without', {}, () => server.close()));
});
END
node /tmp/tls.js`);
    assert.equal(said, 'with knows me\nwithout refused\n');
  });

  test('SECURITY 33: of all that listens on this machine for the platform a container reaches the router’s ports and its name server', async () => {
    const { settings } = platform.layout;
    const expected = [
      ...routerPorts(settings).map((port) => `${routerAddress(settings)} ${port}`),
      `${settings.gateway} 53`,
    ];
    const places = (await listeners()).filter((place) => !place.startsWith('127.'));
    for (const place of expected) assert.ok(places.includes(place), `${place} in ${places.join(', ')}`);
    assert.ok(places.length > expected.length, 'and cells listen');
    assert.deepEqual((await open(places)).toSorted(), expected.toSorted());
    const own = Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address));
    const loopback = (await listeners()).filter((place) => place.startsWith('127.'));
    assert.ok(loopback.length >= 5, loopback.join(', '));
    const elsewhere = own
      .filter((address) => /^\d+\./.test(address) && !address.startsWith('127.'))
      .flatMap((address) => loopback.map((place) => `${address} ${place.split(' ')[1]}`));
    assert.deepEqual(
      (await open(elsewhere)).filter((place) => !expected.includes(place)),
      [],
    );
  });

  test('SECURITY 33: another machine of the link reaches nothing of the platform while it is bound to loopback, nor a container', async () => {
    const neighbour = await startOutside('hostile', '10.231.213.1', '10.231.213.2', []);
    const here = createServer((socket) => socket.on('error', () => {}).end());
    await new Promise<void>((resolve) => here.listen(0, '10.231.213.1', resolve));
    try {
      const address = here.address();
      assert.ok(typeof address === 'object' && address);
      assert.equal(await neighbour.dial('10.231.213.1', address.port), 'open', 'it reaches this machine');
      const listening = (await listeners()).filter((place) => !place.startsWith('127.'));
      const places = [...listening, ...[...(await addressesOf('steady'))].map((app) => `${app} 8080`)];
      const seen = await Promise.all(
        places.map(async (place) => {
          const [to = '', port] = place.split(' ');
          return `${place} ${await neighbour.dial(to, Number(port))}`;
        }),
      );
      assert.deepEqual(
        seen,
        places.map((place) => `${place} silent`),
      );
    } finally {
      here.close();
      await neighbour.stop();
    }
  });

  test('SECURITY 33: an account of the machine reaches an app by its routes alone', async () => {
    const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
    const apps = await addressesOf('steady');
    assert.equal(apps.length, 2);
    for (const app of apps) {
      assert.equal(await dialFrom([], app, 8080), 'open', 'root');
      assert.equal(await dialFrom(nobody, app, 8080), 'refused', app);
    }
    assert.equal(await dialFrom(nobody, '127.0.0.1', platform.httpsPort), 'open');
  });

  test('SECURITY 33: the metadata services of every cloud and the containers of others are refused at once', async () => {
    const victims = await addressesOf('steady');
    assert.equal(victims.length, 2, 'the victims have addresses');
    const metadata = metadataNetworks(4).map((network) =>
      network === '169.254.0.0/16' ? '169.254.169.254' : network.split('/')[0]!,
    );
    const places = [...metadata.map((address) => `${address} 80`), ...victims.map((address) => `${address} 8080`)];
    const tries = places.map((place) => {
      const [address, port] = place.split(' ');
      return `(timeout 2 bash -c '</dev/tcp/${address}/${port}' 2>/dev/null; echo "${place} $?") &`;
    });
    const said = await attack(`${tries.join('\n')}\nwait`);
    assert.deepEqual(said.trim().split('\n').toSorted(), places.map((place) => `${place} 1`).toSorted());
  });

  test('SECURITY 31: nothing of another process or of the host is reached through /proc', async () => {
    const said = await attack(`
      for file in /proc/1/environ /proc/1/mem /proc/1/root/etc/shadow /proc/1/fd/0 /proc/kcore /proc/kmsg; do
        head -c 16 $file >/dev/null 2>&1 && echo "read $file"
      done
      perl -e '$! = 0; $r = syscall(101, 16, 1, 0, 0); print "ptrace ", $r == -1 ? "refused" : "done", "\\n"'
      perl -e '$b = "x" x 16; $v = pack("QQ", unpack("Q", pack("P", $b)), 16); $r = syscall(310, 1, $v, 1, $v, 1, 0); print "process_vm_readv ", $r == -1 ? "refused" : "done", "\\n"'
      for file in /proc/sys/kernel/core_pattern /proc/sysrq-trigger /sys/kernel/uevent_helper /proc/sys/kernel/modprobe; do
        (echo '|/tmp/x' > $file) 2>/dev/null && echo "wrote $file"
      done
      (: > /tmp/lifecycle/launcher) 2>/dev/null && echo 'wrote the launcher'
      (: > /dev/init) 2>/dev/null && echo 'wrote init'
      find / -xdev -type s 2>/dev/null | sed 's/^/socket /'
      grep -c . /proc/mounts; cat /proc/self/cgroup | head -3`);
    assert.doesNotMatch(said, /^(read|wrote|socket) /m, said);
    assert.match(said, /^ptrace refused$/m);
    assert.match(said, /^process_vm_readv refused$/m);
    assert.doesNotMatch(said, new RegExp(platform.data), 'no path of the host is told');
  });

  test('SECURITY 31: a program of the host that enters the container cannot be overwritten from inside', async () => {
    // What CVE-2019-5736 did: wait for an entering process and write to its executable. A process that is nobody's of the app
    // is one that enters.
    const attacked = attack(`perl -e '
      my ($end, $tried, $entering) = (time + 12, 0, 0);
      while (time < $end) {
        opendir my $all, "/proc";
        for my $process (map { "/proc/$_" } grep /^[0-9]+$/, readdir $all) {
          $tried++;
          print "wrote $process ", readlink "$process/exe", "\\n" if open my $executable, ">>", "$process/exe";
          $entering++ if $process ne "/proc/1" && -e $process && !-O _;
        }
      }
      print "tried $tried entering $entering\\n"'`);
    let lasts = true;
    const ended = attacked.finally(() => {
      lasts = false;
    });
    // Into each instance, since either may be the one that attacks, for as long as it does.
    for (let turn = 0; lasts; turn += 1) await cf('ssh', 'attacker', '-i', String(turn % 2), '-c', 'true');
    const said = await ended;
    assert.match(said, /^tried [1-9]\d* entering [1-9]/m);
    assert.doesNotMatch(said, /wrote/);
  });

  /** "address port" of every TCP port on which something of the platform listens. */
  async function listeners(): Promise<string[]> {
    const { settings } = platform.layout;
    const accounts = new Set(
      [...readFileSync('/etc/passwd', 'utf8').matchAll(/^cupola-[^:]*:[^:]*:(\d+):/gm)].map((match) => match[1]),
    );
    const own = new Set<string>([...ownAddresses(settings), settings.resolverAddress]);
    const lines = (await run('ss', ['-H', '-l', '-t', '-n', '-e'])).trim().split('\n');
    return lines.flatMap((line) => {
      const [, , , local = ''] = line.split(/\s+/);
      const [, address = '', port = ''] = /^(.*):(\d+)$/.exec(local) ?? [];
      const uid = /\buid:(\d+)/.exec(line)?.[1];
      return own.has(address) || (uid !== undefined && accounts.has(uid)) ? [`${address} ${port}`] : [];
    });
  }

  async function addressesOf(app: string): Promise<string[]> {
    const own = instances(platform, /server\.js/, app);
    return own.map(({ seen }) => variable(seen, 'CF_INSTANCE_INTERNAL_IP'));
  }
});
