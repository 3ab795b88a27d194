import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { connect } from 'node:tls';
import { stackHome } from '../../src/cell/stack/stack.ts';
import { lockFile } from '../../src/kit/lock.ts';
import { run } from '../../src/kit/process.ts';
import { cellAddress } from '../../src/platform/addresses.ts';
import { removeAccounts } from '../../src/platform/host/accounts.ts';
import { forgetInstallation, installations, noteInstallation } from '../../src/platform/host/installations.ts';
import { lockFileOf, saveSettings } from '../../src/platform/settings/store.ts';
import { startLoad } from '../support/load.ts';
import { eventually, ROOT, TestPlatform } from '../support/platform.ts';
import { allProcesses } from '../support/processes.ts';
import { makeTestData } from '../support/test-data.ts';

const SKIP = process.getuid?.() !== 0 ? 'needs root' : false;
/** Beside the project, so that node_modules can be hard links. */
const COPIES = join(ROOT, '.cache/operator-e2e');

describe('a whole platform under its operator', { skip: SKIP }, () => {
  const httpsPort = Number(process.env['CUPOLA_E2E_PORT'] ?? 8447);
  const brought = mkdtempSync('/tmp/cupola-e2e-key-');
  const keyFile = join(brought, 'key');
  // Where the data is to lie may be a link of root's.
  const disk = process.env['CUPOLA_E2E_DATA'] ?? makeTestData();
  const data = join(brought, 'data');
  symlinkSync(disk, data);
  const platform = new TestPlatform({
    httpsPort,
    // Not below the default one: a platform that runs outside would answer its names.
    domain: 'operator.localhost',
    options: ['--key-file', keyFile],
    data,
  });

  before(async () => {
    await platform.up();
    const app = join(brought, 'app');
    cpSync(join(ROOT, 'examples/hello-node'), app, { recursive: true });
    appendFileSync(join(app, 'manifest.yml'), '    buildpacks: [nodejs_buildpack]\n');
    await platform.cupola('push', [app], 5 * 60_000);
    await eventually('the app answers', async () => (await platform.ask('hello-node')).status === 200);
  });
  after(async () => {
    try {
      await platform.remove();
    } finally {
      for (const directory of [COPIES, brought, disk]) rmSync(directory, { recursive: true, force: true });
    }
  });

  const pidsOfApp = () => platform.appProcesses(/server\.js/).map(({ pid }) => pid);
  const load = () => startLoad(platform, 'hello-node', { kinds: ['new', 'new', 'kept', 'kept'], again: true });

  test('doctor finds nothing in the way, and names the platform’s own listeners as such', async () => {
    const { ok, findings } = JSON.parse(await platform.cupola('doctor', ['--json'])) as {
      ok: boolean;
      findings: { what: string; state: string; found: string }[];
    };
    assert.equal(ok, true);
    assert.match(
      findings.find(({ what }) => what === `${httpsPort} (HTTPS)`)?.found ?? '',
      /platform's own \(.*haproxy/,
    );
    assert.match(findings.find(({ what }) => what === 'installation')?.found ?? '', /^ready/);
  });

  test('VUL-01, VUL-04: the inventory says of which image the processes run, and what stack and buildpacks have', async () => {
    const { components } = JSON.parse(await platform.cupola('inventory', ['--json'])) as {
      components: { 'bom-ref': string; name: string; properties: { name: string; value: string }[] }[];
    };
    const [image, ...more] = components.filter(({ name }) => name === 'engines');
    const runsIn = image?.properties.find(({ name }) => name === 'cupola:runs-in')?.value ?? '';
    assert.match(runsIn, /conmon/, 'of the app');
    assert.match(runsIn, /haproxy.*nats-server/);
    assert.deepEqual(more, []);
    const of = (part: RegExp) => components.filter((one) => part.test(one['bom-ref'])).length;
    assert.ok(of(/^stack\/debian12@[^#]*#pkg:deb/) > 80);
    assert.equal(of(/^buildpack\/[^#]*$/), 9);
    assert.ok(of(/^buildpack\/nodejs_buildpack@[^#]*#pkg:npm\/node-/) > 0);
  });

  test('where the line in resolv.conf is gone, doctor says so and `up` puts it back, and restarts nothing', async () => {
    const pids = await platform.pids();
    const { resolverAddress, domain } = platform.layout.settings;
    const line = `nameserver ${resolverAddress}`;
    const text = readFileSync('/etc/resolv.conf', 'utf8');
    writeFileSync('/etc/resolv.conf', text.replace(`${line}\n`, ''));
    const { findings } = JSON.parse((await platform.tryCupola('doctor', ['--json'])).stdout) as {
      findings: { what: string; advice?: string }[];
    };
    const advice = findings.find(({ what }) => what === `api.${domain}`)?.advice;
    assert.equal(advice, `./cupola up puts ${resolverAddress} there`);
    const { stdout, stderr } = await platform.tryCupola('up');
    assert.match(stdout, /It runs already\./);
    assert.equal(stderr, `${resolverAddress} was missing in /etc/resolv.conf and is back.\n`);
    assert.ok(readFileSync('/etc/resolv.conf', 'utf8').split('\n').includes(line));
    assert.deepEqual(await platform.pids(), pids);
  });

  test('another installation is asked by the machine for the names of its domain as soon as there is one, and by containers never', async () => {
    const { settings, run: running } = platform.layout;
    const pids = await platform.pids();
    const other = { ...settings, id: 'oth', dataDirectory: join(brought, 'other'), domain: 'other.example' };
    mkdirSync(other.dataDirectory);
    saveSettings({ ...other, resolverAddress: '127.0.53.99' });
    const lines = { dns: 'server=/other.example/127.0.53.99\n', 'dns-containers': 'server=/other.example/#\n' };
    const asks = () =>
      Object.entries(lines).map(([name, line]) =>
        readFileSync(`${running}/${name}/servers.conf`, 'utf8').includes(line),
      );
    assert.deepEqual(asks(), [false, false]);
    noteInstallation(other);
    await eventually('both know of it', async () => asks().every(Boolean));
    forgetInstallation(other);
    await eventually('neither knows of it', async () => !asks().some(Boolean));
    assert.deepEqual(await platform.pids(), pids);
  });

  test('a port that somebody holds is named by `up` before it installs anything', async () => {
    const holder = createServer().listen(0, '127.0.0.1');
    await once(holder, 'listening');
    const { port } = holder.address() as AddressInfo;
    const other = new TestPlatform({ httpsPort: port, domain: 'held.cupola.localhost' });
    try {
      const { exitCode, stderr } = await other.tryCupola('up', ['--https-port', String(port)]);
      assert.equal(exitCode, 1);
      assert.match(
        stderr,
        new RegExp(`port ${port} \\(HTTPS\\) is held by \\S+, process ${process.pid}: end that process, or`),
      );
      assert.deepEqual(readdirSync(other.data), []);
    } finally {
      holder.close();
      other.removeFiles();
    }
  });

  test('one command at a time changes an installation', async () => {
    using _lock = lockFile(lockFileOf(platform.data), 'up');
    for (const [command, ...args] of [['up'], ['down'], ['destroy', '--yes'], ['rotate'], ['upgrade']] as const) {
      const { exitCode, stderr } = await platform.tryCupola(command, args);
      assert.equal(exitCode, 1, command);
      assert.match(stderr, new RegExp(`process ${process.pid} \\("up"\\) holds`), command);
    }
    await eventually('it is ready', async () => (await platform.status()).ready);
  });

  test('trust: curl verifies API and apps by the machine’s store, and no more once it is removed', async () => {
    const ask = (host: string) =>
      run(
        'curl',
        ['-sS', '-o', '/dev/null', '-w', '%{http_code}', `https://${host}.${platform.domain}:${httpsPort}/`],
        {
          showWords: true,
        },
      );
    await assert.rejects(ask('api'), /certificate/i);
    await platform.cupola('trust');
    try {
      assert.equal(await ask('api'), '200');
      assert.equal(await ask('hello-node'), '200');
    } finally {
      await platform.cupola('trust', ['--remove']);
    }
    await assert.rejects(ask('api'), /certificate/i);
  });

  test('SECURITY 35, IID-10: components, instances and UAA’s key rotate while clients ask; no request fails', async () => {
    const before = { pids: await platform.pids(), front: await shown(), instance: instanceCertificate() };
    const token = await tokenKeys();
    const clients = load();
    await platform.cupola('rotate', ['components']);
    await platform.cupola('rotate', ['instances']);
    await platform.cupola('rotate', ['uaa']);
    await pause(1_000);
    const { requests: asked, failures } = await clients.stop();
    assert.deepEqual(failures, []);
    assert.ok(asked > 20, `only ${asked} requests`);
    assert.deepEqual(await platform.pids(), before.pids, 'every process is the same');
    assert.notEqual((await shown()).serialNumber, before.front.serialNumber);
    const instance = instanceCertificate();
    assert.notEqual(instance.serialNumber, before.instance.serialNumber, 'the app has another certificate');
    const hours = (instance.validToDate.getTime() - Date.now()) / 3_600_000;
    assert.ok(hours > 23.9 && hours <= 24, `IID-05: ends in ${hours} hours`);
    const keys = await tokenKeys();
    assert.equal(keys.length, token.length + 1);
    assert.ok(
      token.every((kid) => keys.includes(kid)),
      'the former key still verifies',
    );
  });

  test('SECURITY 35, 22: roots rotate with overlap; no request fails, and what the former roots issued is refused afterwards', async () => {
    const { layout } = platform;
    const oldRouter = readFileSync(`${layout.run}/router/certificates/router.pem`, 'utf8');
    const oldPlatformCa = readFileSync(`${layout.run}/router/certificates/platform-ca.pem`, 'utf8');
    const { control, proxy } = layout.settings.ports;
    assert.equal(
      await accepts({ port: control, servername: 'control' }, oldRouter, oldPlatformCa),
      true,
      'it works before',
    );
    const oldInstance = instanceCertificate();

    // Clients that know the former router root alone.
    let clients = load();
    await platform.cupola('rotate', ['roots', '--overlap', '0.002'], 3 * 60_000);
    const during = await clients.stop();
    assert.deepEqual(during.failures, [], 'requests that failed');
    assert.ok(during.requests > 20, `only ${during.requests} requests`);

    // What clients are given now holds both or the new one; through the end of the overlap no request fails with it.
    const next = JSON.parse(await platform.cupola('credentials', ['--json'])) as { ca_cert: string };
    writeFileSync(platform.caFile, next.ca_cert);
    platform.credentials.ca_cert = next.ca_cert;
    clients = load();
    await eventually('the former roots are gone', async () => (await platform.status()).rotation === null, 90_000);
    await pause(1_000);
    const afterwards = await clients.stop();
    assert.deepEqual(afterwards.failures, []);

    const roots = [`${layout.run}/router/certificates/platform-ca.pem`, `${layout.run}/nats/ca.pem`];
    for (const path of roots) assert.equal(readFileSync(path, 'utf8').match(/BEGIN CERTIFICATE/g)?.length, 1, path);
    const newPlatformCa = readFileSync(roots[0]!, 'utf8');
    assert.notEqual(newPlatformCa, oldPlatformCa);
    const instance = oldInstance.subject.split('CN=')[1]!.split('\n')[0]!;
    const proxyHost = cellAddress(layout.settings, 0);
    assert.equal(await accepts({ port: control, servername: 'control' }, oldRouter, null), false, 'control');
    assert.equal(await accepts({ host: proxyHost, port: proxy[0]!, servername: instance }, oldRouter, null), false);
    const identityRoot = new X509Certificate(readFileSync(`${layout.run}/router/certificates/instance-ca.pem`));
    assert.notEqual(instanceCertificate().issuer, oldInstance.issuer);
    assert.match(identityRoot.subject, /root 2$/);
    const inside = trustedInside(layout.settings.dataDirectory).map((pem) => new X509Certificate(pem).subject);
    assert.deepEqual(inside, ['CN=Cupola instance identity root 2', 'CN=Cupola router root 2'], 'IID-08');
    await eventually('it is ready', async () => (await platform.status()).ready);
  });

  test('upgrade: another checkout’s code takes over while clients ask; no request fails, and apps are not restarted', async () => {
    const before = await platform.pids();
    const supervisor = (await platform.status()).supervisor;
    const app = pidsOfApp();
    const copy = copyOfProject('next', (directory) => {
      appendFileSync(join(directory, 'src/platform/programs/control.ts'), '\n// the next version\n');
      // HAProxy's configuration changes too: its listeners are handed over.
      const config = join(directory, 'src/router/config.ts');
      writeFileSync(config, readFileSync(config, 'utf8').replace('stats timeout 60s', 'stats timeout 61s'));
      appendFileSync(join(directory, 'src/cell/stack/packages.ts'), '// another recipe\n');
    });
    // Another recipe is another stack; it is not built for the test.
    const next: { stackHome: typeof stackHome } = await import(join(copy, 'src/cell/stack/stack.ts'));
    const stacks = [stackHome, next.stackHome].map((home) => home(platform.layout.stacks, 'debian12'));
    await run('cp', ['-al', ...stacks]);
    const clients = load();
    const api = startLoad(platform, 'api', { path: '/v3/info', kinds: ['new'] });
    const { replaced } = JSON.parse(await platform.cupola('upgrade', ['--json'], 5 * 60_000, copy)) as {
      replaced: string[];
    };
    await pause(1_000);
    const [apps, calls] = [await clients.stop(), await api.stop()];
    assert.deepEqual(apps.failures, []);
    assert.ok(apps.requests > 20, `only ${apps.requests} requests`);
    assert.deepEqual(calls.failures, [], 'calls of the API wait');
    console.log(
      `upgrade: ${apps.requests} requests, slowest ${Math.round(apps.slowestMs)} ms; slowest API call ${Math.round(calls.slowestMs)} ms`,
    );
    for (const name of ['control', 'cell-0', 'router']) assert.ok(replaced.includes(name), `${name} runs the new code`);
    const now = await platform.pids();
    for (const name of ['postgresql', 'nats', 'cell-0-proxy'])
      assert.equal(now[name], before[name], `${name} is the same`);
    const { supervisor: changed } = await platform.status();
    assert.equal(changed.pid, supervisor.pid, 'the supervisor keeps its number');
    assert.equal(changed.project, copy);
    const kept = readdirSync(platform.layout.stacks).map((name) => join(platform.layout.stacks, name));
    assert.deepEqual(kept.sort(), stacks.sort(), 'apps stand on the stack of before, which is not copied anew');
    assert.deepEqual(pidsOfApp(), app);
    assert.match(readFileSync(`${platform.layout.run}/router/state/haproxy.cfg`, 'utf8'), /stats timeout 61s/);
  });

  test('upgrade: code that does not come up is taken back, and the platform serves as before', async () => {
    const { supervisor } = await platform.status();
    const broken = copyOfProject('broken', (directory) => {
      const file = join(directory, 'src/platform/programs/control.ts');
      writeFileSync(file, `throw new Error('this version does not start');\n${readFileSync(file, 'utf8')}`);
    });
    const clients = load();
    const { exitCode, stderr } = await platform.tryCupola('upgrade', [], 6 * 60_000, broken);
    const { failures } = await clients.stop();
    assert.equal(exitCode, 1);
    assert.match(stderr, /the code of before runs again/);
    assert.deepEqual(failures, []);
    const after = await platform.status();
    assert.equal(after.ready, true);
    assert.equal(after.supervisor.program, supervisor.program);
    assert.deepEqual(after.update, { outdated: [], problem: null, running: false });
  });

  test('a supervisor that is asked to leave leaves everything running, and the next one adopts it', async () => {
    const before = await platform.pids();
    const { pid } = (await platform.status()).supervisor;
    process.kill(pid, 'SIGTERM');
    await eventually(
      'the supervisor is gone',
      async () => !existsSync(`/proc/${pid}`) || readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z '),
    );
    assert.equal((await platform.ask('hello-node')).status, 200);
    await platform.cupola('up', ['--json'], 5 * 60_000, join(COPIES, 'next'));
    assert.deepEqual(await platform.pids(), before);
  });

  test('`up` after a `down` that was interrupted waits for what ends, and everything serves again', async () => {
    const before = (await platform.status()).supervisor.pid;
    const interrupted = spawn(join(ROOT, 'cupola'), ['down', '--data', platform.data], { stdio: 'ignore' });
    await eventually('it ends', async () => (await platform.status()).leaving);
    interrupted.kill('SIGINT');
    await platform.cupola('up', ['--json'], 5 * 60_000);
    assert.notEqual((await platform.status()).supervisor.pid, before);
    await eventually('the app serves', async () => (await platform.ask('hello-node')).status === 200);
  });

  test('destroy keeps a key file that the operator brought, and ends and unlinks what a component left, no more', async () => {
    const aside = mkdtempSync('/tmp/cupola-e2e-aside-');
    writeFileSync(join(aside, 'file'), 'as it was');
    const owner = statSync(`${platform.layout.run}/control`);
    symlinkSync(aside, `${platform.layout.run}/control/link`);
    const { uid, gid } = owner;
    const argv0 = `${platform.layout.run}/left`; // where a platform runs beside this one, it is told by that
    const left = spawn('sleep', ['600'], { argv0, uid, gid, detached: true, stdio: 'ignore' });
    const ended = once(left, 'exit');
    // A container of somebody's whose user has the same number: no process of the platform's.
    const inside = [
      '--pid',
      '--mount',
      '--fork',
      '--kill-child',
      'setpriv',
      `--reuid=${uid}`,
      `--regid=${gid}`,
      '--clear-groups',
      '--pdeathsig=KILL', // or it would outlive `unshare`
    ];
    const container = spawn('unshare', [...inside, 'sleep', '601'], { stdio: 'ignore' });
    // One that is killed is started again, and does not answer in between.
    const { supervisor } = await platform.status();
    process.kill(supervisor.pid, 'SIGKILL');
    const said = await platform.cupola('destroy', ['--yes'], 5 * 60_000);
    await ended;
    await pause(3_000);
    const kept = allProcesses().filter((one) => one.uid === uid && one.arguments === 'sleep 601');
    container.kill('SIGKILL');
    assert.equal(kept.length, 1, 'a container of somebody’s');
    if (installations().size === 0) {
      assert.match(said, /the account cupola-control stays: .*\bused by process\b/, 'its number is in use');
      assert.deepEqual(await removeAccounts(platform.layout.settings), []);
    }
    const { run: place } = platform.layout;
    assert.deepEqual(
      allProcesses().filter((one) => one.arguments.includes(place)),
      [],
    );
    assert.equal(existsSync(place), false);
    assert.equal(readFileSync(join(aside, 'file'), 'utf8'), 'as it was');
    rmSync(aside, { recursive: true });
    assert.equal(existsSync(disk), false);
    assert.equal(readFileSync('/proc/self/mountinfo', 'utf8').includes(disk), false);
    assert.equal(existsSync(keyFile), true);
  });

  /** What clients of the router see. */
  function shown(): Promise<X509Certificate> {
    const { promise, resolve, reject } = Promise.withResolvers<X509Certificate>();
    const options = {
      host: '127.0.0.1',
      port: httpsPort,
      servername: `x.${platform.domain}`,
      ca: platform.credentials.ca_cert,
    };
    const socket = connect(options, () => {
      resolve(socket.getPeerX509Certificate()!);
      socket.destroy();
    });
    socket.on('error', reject);
    return promise;
  }

  function instanceCertificate(): X509Certificate {
    const directory = `${platform.layout.run}/cell-0-identities/credentials`;
    const [handle] = readdirSync(directory);
    return new X509Certificate(readFileSync(join(directory, handle!, 'instance.crt')));
  }

  /** The roots in the directories that are mounted into containers. */
  function trustedInside(data: string): string[] {
    const directory = join(data, 'cells/cell-0/rep/trust/system');
    return readdirSync(directory).map((name) => readFileSync(join(directory, name), 'utf8'));
  }

  async function tokenKeys(): Promise<string[]> {
    const { body } = await platform.request('uaa', { path: '/token_keys' });
    return (JSON.parse(body) as { keys: { kid: string }[] }).keys.map(({ kid }) => kid);
  }
});

/** Another checkout: hard links to the packages, copies of the rest. */
function copyOfProject(name: string, change: (directory: string) => void): string {
  const directory = join(COPIES, name);
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  for (const entry of ['cupola', 'package.json', 'package-lock.json', 'src', 'buildpacks', 'examples']) {
    cpSync(join(ROOT, entry), join(directory, entry), { recursive: true, preserveTimestamps: true });
  }
  linkPackages(directory);
  change(directory);
  return directory;
}

function linkPackages(directory: string): void {
  const { status } = spawnSync('cp', ['-al', join(ROOT, 'node_modules'), join(directory, 'node_modules')]);
  assert.equal(status, 0, 'node_modules can be linked');
}

/** Whether a TLS server takes a client with this certificate: TLS 1.3 tells only after the handshake. */
function accepts(
  to: { host?: string; port: number; servername: string },
  pem: string,
  ca: string | null,
): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const trust = ca === null ? { rejectUnauthorized: false } : { ca };
  const socket = connect({ host: '127.0.0.1', ...to, cert: pem, key: pem, ...trust }, () => {
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    setTimeout(() => resolve(!socket.destroyed && socket.readable), 1_000).unref();
  });
  socket.on('data', () => resolve(true));
  socket.on('error', () => resolve(false));
  socket.on('close', () => resolve(false));
  return promise.finally(() => socket.destroy());
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
