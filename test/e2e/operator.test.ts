import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { get } from 'node:https';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { connect } from 'node:tls';
import { lockFile } from '../../src/kit/lock.ts';
import { run } from '../../src/kit/process.ts';
import { cellAddress } from '../../src/platform/addresses.ts';
import { lockFileOf } from '../../src/platform/settings.ts';
import { eventually, ROOT, TestPlatform } from '../support/platform.ts';
import { startLoad } from '../support/url-load.ts';

const SKIP = process.getuid?.() !== 0 ? 'needs root' : false;
/** Beside the project, so that node_modules can be hard links. */
const COPIES = join(ROOT, '.cache/operator-e2e');

describe('a whole platform under its operator', { skip: SKIP }, () => {
  const httpsPort = Number(process.env['CUPOLA_E2E_PORT'] ?? 8447);
  const brought = mkdtempSync('/tmp/cupola-e2e-key-');
  const keyFile = join(brought, 'key');
  const data = process.env['CUPOLA_E2E_DATA'];
  const platform = new TestPlatform({
    httpsPort,
    domain: 'operator.cupola.localhost',
    options: ['--key-file', keyFile],
    ...(data === undefined ? {} : { data }),
  });
  const url = `https://hello-node.${platform.domain}:${httpsPort}/`;
  let destroyed = false;

  before(async () => {
    await platform.up();
    await platform.cupola('push', [join(ROOT, 'examples/hello-node')], 5 * 60_000);
    await eventually('the app answers', async () => (await platform.ask('hello-node')).status === 200);
  });
  after(async () => {
    if (!destroyed) await platform.destroy().catch((cause: unknown) => console.error(cause));
    platform.removeFiles();
    rmSync(COPIES, { recursive: true, force: true });
    rmSync(brought, { recursive: true, force: true });
  });

  const load = () => startLoad({ url, ca: readFileSync(platform.caFile, 'utf8') });
  const pids = async () =>
    Object.fromEntries((await platform.status()).components.map(({ name, pid }) => [name, pid] as const));

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

  test('one command at a time changes an installation', async () => {
    using _lock = lockFile(lockFileOf(platform.data), 'up');
    for (const [command, ...args] of [['up'], ['down'], ['destroy', '--yes'], ['rotate'], ['upgrade']] as const) {
      const { exitCode, stderr } = await platform.tryCupola(command, args);
      assert.equal(exitCode, 1, command);
      assert.match(stderr, new RegExp(`process ${process.pid} \\("up"\\) holds`), command);
    }
    assert.equal((await platform.status()).ready, true);
  });

  test('trust: curl verifies API and apps by the machine’s store, and no more once it is removed', async () => {
    const ask = (host: string) =>
      run('curl', ['-sS', '-o', '/dev/null', '-w', '%{http_code}', `https://${host}.${platform.domain}:${httpsPort}/`]);
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

  test('SEC-35, IID-10: components, instances and UAA’s key rotate while clients ask; no request fails', async () => {
    const before = { pids: await pids(), front: await shown(), instance: instanceCertificate() };
    const token = await tokenKeys();
    const clients = load();
    await platform.cupola('rotate', ['components']);
    await platform.cupola('rotate', ['instances']);
    await platform.cupola('rotate', ['uaa']);
    await pause(1_000);
    const { asked, failures } = await clients.stop();
    assert.deepEqual(failures, []);
    assert.ok(asked > 20, `only ${asked} requests`);
    assert.deepEqual(await pids(), before.pids, 'every process is the same');
    assert.notEqual((await shown()).serialNumber, before.front.serialNumber);
    const instance = instanceCertificate();
    assert.notEqual(instance.serialNumber, before.instance.serialNumber);
    const hours = (instance.validToDate.getTime() - Date.now()) / 3_600_000;
    assert.ok(hours > 23.9 && hours <= 24, `IID-05: ends in ${hours} hours`);
    const keys = await tokenKeys();
    assert.equal(keys.length, token.length + 1);
    assert.ok(
      token.every((kid) => keys.includes(kid)),
      'the former key still verifies',
    );
  });

  test('SEC-35, SEC-22: roots rotate with overlap; no request fails, and what the former roots issued is refused afterwards', async () => {
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
    assert.deepEqual(during.failures, []);
    assert.ok(during.asked > 20, `only ${during.asked} requests`);

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
    assert.equal((await platform.status()).ready, true);
  });

  test('upgrade: another checkout’s code takes over while clients ask; no request fails, and apps are not restarted', async () => {
    const before = await pids();
    const supervisor = (await platform.status()).supervisor;
    const app = appPids();
    const copy = copyOfProject('next', (directory) => {
      appendFileSync(join(directory, 'src/platform/control.ts'), '\n// the next version\n');
      // HAProxy's configuration changes too: its listeners are handed over.
      const config = join(directory, 'src/router/config.ts');
      writeFileSync(config, readFileSync(config, 'utf8').replace('stats timeout 60s', 'stats timeout 61s'));
    });
    const clients = load();
    const api = startLoad({
      url: `${platform.credentials.api}/v3/info`,
      ca: platform.credentials.ca_cert,
      newConnections: 1,
      keptAlive: 0,
    });
    const { replaced } = JSON.parse(await platform.cupola('upgrade', ['--json'], 5 * 60_000, copy)) as {
      replaced: string[];
    };
    await pause(1_000);
    const [apps, calls] = [await clients.stop(), await api.stop()];
    assert.deepEqual(apps.failures, []);
    assert.ok(apps.asked > 20, `only ${apps.asked} requests`);
    assert.deepEqual(calls.failures, [], 'calls of the API wait');
    console.log(
      `upgrade: ${apps.asked} requests, slowest ${Math.round(apps.slowestMs)} ms; slowest API call ${Math.round(calls.slowestMs)} ms`,
    );
    for (const name of ['control', 'cell-0', 'router']) assert.ok(replaced.includes(name), `${name} runs the new code`);
    const now = await pids();
    for (const name of ['postgresql', 'nats', 'cell-0-proxy'])
      assert.equal(now[name], before[name], `${name} is the same`);
    const { supervisor: next } = await platform.status();
    assert.equal(next.pid, supervisor.pid, 'the supervisor keeps its number');
    assert.equal(next.project, copy);
    assert.deepEqual(appPids(), app);
    assert.match(readFileSync(`${platform.layout.run}/router/state/haproxy.cfg`, 'utf8'), /stats timeout 61s/);
  });

  test('upgrade: code that does not come up is taken back, and the platform serves as before', async () => {
    const { supervisor } = await platform.status();
    const broken = copyOfProject('broken', (directory) => {
      const file = join(directory, 'src/platform/control.ts');
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
    const before = await pids();
    const { pid } = (await platform.status()).supervisor;
    process.kill(pid, 'SIGTERM');
    await eventually(
      'the supervisor is gone',
      async () => !existsSync(`/proc/${pid}`) || readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z '),
    );
    assert.equal((await platform.ask('hello-node')).status, 200);
    await platform.cupola('up', ['--json'], 5 * 60_000, (await currentProject()) ?? ROOT);
    assert.deepEqual(await pids(), before);
  });

  test('destroy keeps a key file that the operator brought', async () => {
    await platform.destroy();
    destroyed = true;
    assert.equal(existsSync(platform.data), false);
    assert.equal(existsSync(keyFile), true);
  });

  /** Where the code lies that the platform runs now. */
  async function currentProject(): Promise<string | null> {
    return join(COPIES, 'next');
  }

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

  function tokenKeys(): Promise<string[]> {
    const { promise, resolve, reject } = Promise.withResolvers<string[]>();
    const address = `https://uaa.${platform.domain}:${httpsPort}/token_keys`;
    const call = get(address, { ca: platform.credentials.ca_cert, agent: false }, async (response) => {
      const { keys } = JSON.parse(Buffer.concat(await response.toArray()).toString()) as { keys: { kid: string }[] };
      resolve(keys.map(({ kid }) => kid));
    });
    call.on('error', reject);
    return promise;
  }

  function appPids(): number[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .filter((pid) => {
        try {
          return (
            /server\.js/.test(readFileSync(`/proc/${pid}/cmdline`, 'latin1')) &&
            uidOf(pid) >= platform.layout.settings.uidRangeBase &&
            uidOf(pid) < platform.layout.settings.uidRangeBase + 8 * 256 * 65_536
          );
        } catch {
          return false;
        }
      })
      .map(Number);
  }
});

function uidOf(pid: string): number {
  return Number(/^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
}

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
