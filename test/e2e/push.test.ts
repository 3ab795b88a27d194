import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, readlinkSync } from 'node:fs';
import { get } from 'node:http';
import { connect as connectTcp } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { connect } from 'node:tls';
import { leftovers, type MachineState, machineState } from '../../src/cli/machine-state.ts';
import { run } from '../../src/kit/process.ts';
import { startedFrom } from '../../src/platform/cell-settings.ts';
import { installations } from '../../src/platform/host/installations.ts';
import { SEPARABLE } from '../../src/platform/roles/names.ts';
import { NO_OFFICIAL_CF, officialCf } from '../support/official-cf.ts';
import { type Ended, eventually, ROOT, TestPlatform } from '../support/platform.ts';
import { allProcesses } from '../support/processes.ts';
import { rawRequest } from '../support/raw-request.ts';
import { unpackedBuildpacks } from '../support/unpacked.ts';

const CF = officialCf() ?? '';
const SKIP = process.getuid?.() !== 0 ? 'needs root' : CF === '' ? NO_OFFICIAL_CF : false;
/** The app itself, not the shell or npm that started it. */
const NODE_APP = /^\S*node\s.*server\.js/;
const RESOLV_CONF = '/etc/resolv.conf';

describe('a whole platform, used with the official cf', { skip: SKIP }, () => {
  const platform = new TestPlatform({ httpsPort: 8443, domain: 'e2e.cupola.localhost' });
  const cf = (...args: string[]) => platform.cf(CF, args);
  const resolverBefore = readFileSync(RESOLV_CONF, 'utf8');
  let machineBefore: MachineState;
  /** As a version from before left it. */
  const oldStack = join(platform.data, 'stacks/debian12/rootfs');

  before(async () => {
    machineBefore = await machineState();
    mkdirSync(oldStack, { recursive: true });
    await platform.up();
  });
  after(() => platform.remove());

  test('the platform is ready, and `status` names its parts', async () => {
    const status = await platform.status();
    assert.equal(status.ready, true);
    assert.deepEqual(
      status.components.filter(({ state }) => state !== 'running').map(({ name }) => name),
      [],
    );
    assert.ok(status.components.some(({ name }) => name === 'control'));
    assert.ok(status.cells.length === 1 && status.cells[0]!.lastSeen !== null, 'the cell was seen');
    assert.equal(platform.credentials.domain, platform.domain);
    assert.equal(existsSync(oldStack), false, 'nothing stands on the stack of a version before');
  });

  test('APM-02, UAA-08: cf signs in at the API by name, with the certificate verified', async () => {
    assert.match(await cf('api', platform.credentials.api), /OK/);
    await platform.cf(CF, ['auth', platform.credentials.username], { password: platform.credentials.password });
    await cf('create-org', 'acme');
    await cf('create-space', 'dev', '-o', 'acme');
    assert.match(await cf('target', '-o', 'acme', '-s', 'dev'), /space:\s+dev/);
    const wrong = await platform.tryCf(CF, ['auth', platform.credentials.username], { password: 'not the password' });
    assert.equal(wrong.exitCode, 1);
    assert.match(wrong.stderr, /Credentials were rejected, please try again/);
    await platform.cf(CF, ['auth', platform.credentials.username], { password: platform.credentials.password });
    await cf('target', '-o', 'acme', '-s', 'dev');
  });

  test('ARCH-06: API and UAA are not served over plain HTTP', async () => {
    assert.equal(platform.layout.settings.httpPort, null, 'beside this port there is none for it');
    for (const name of ['api', 'uaa']) {
      assert.equal(await plainHttp(`${name}.${platform.domain}`, platform.httpsPort), null, 'no answer but to TLS');
    }
    assert.equal((await platform.ask('api', '/v3')).status, 200);
  });

  test('SECURITY 25: fifty senders of bodies without end, whom nobody knows, leave the memory of control as it is', async () => {
    const pid = await pidOf('control');
    const residentMb = (): number =>
      Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
    const before = residentMb();
    let highest = 0;
    const watch = setInterval(() => {
      highest = Math.max(highest, residentMb());
    }, 50);
    const doors = [
      ['api', '/v3/packages/x/upload', 401],
      ['api', '/v3/apps', 401],
      ['uaa', '/Users', 401],
      ['login', '/nothing', 404],
      ['log-cache', '/api/v1/read/x', 404],
    ] as const;
    const send = ([name, path]: (typeof doors)[number], endless: boolean) => {
      const host = `${name}.${platform.domain}`;
      const { httpsPort: port, credentials } = platform;
      const over = connect({ host: '127.0.0.1', port, servername: host, ca: credentials.ca_cert });
      const headers = { host, 'content-type': 'application/json', ...(endless ? {} : { 'content-length': '0' }) };
      return rawRequest('https://127.0.0.1', { method: 'POST', path, headers }, { over, endless, waitMs: 15_000 });
    };
    let answered = 0;
    try {
      const answers = Array.from({ length: 50 }, async (_, index) => {
        const door = doors[index % doors.length]!;
        const { status, ended, text } = await send(door, true);
        // Who sends on after the answer may lose it: the connection is reset.
        assert.ok(status === door[2] || (status === 0 && ended), `${door.join()}: ${text}`);
        if (status !== 0) answered += 1;
      });
      await Promise.all(answers);
    } finally {
      clearInterval(watch);
    }
    assert.ok(answered > 0, 'some answers arrive');
    for (const door of doors) assert.equal((await send(door, false)).status, door[2], `${door.join()}`);
    const grown = highest - before;
    assert.ok(highest > 0 && grown < 250, `${Math.round(grown)} MiB more`);
    assert.equal((await platform.ask('api', '/v3')).status, 200);
  });

  const pushed = [
    { name: 'hello-node', expected: /"hello":"hello-node"/, kind: 'a Node.js app with dependencies', by: 'nodejs' },
    { name: 'static-site', expected: /<h1>Hello from Cupola<\/h1>/, kind: 'a static site', by: 'staticfile' },
    { name: 'hello-binary', expected: /Hello from a binary, instance 0/, kind: 'a binary', by: 'binary' },
  ];
  for (const { name, expected, kind, by } of pushed) {
    test(`BPK-01, RTR-03: ${kind} is pushed and answers over HTTPS with the certificate verified`, async () => {
      const directory = join(ROOT, 'examples', name);
      const said = await cf('push', '-f', join(directory, 'manifest.yml'), '-p', directory, '-b', `${by}_buildpack`);
      assert.match(said, /#0\s+running/);
      const answer = await eventually(`${name} answers`, async () => {
        const got = await platform.ask(name);
        return got.status === 200 && got;
      });
      assert.match(answer.body, expected);
    });
  }

  test('where buildpacks are not unpacked ahead, the cell has those that apps named, and no other', () => {
    const named = pushed.map(({ by }) => `${by}_buildpack`);
    assert.deepEqual(unpackedBuildpacks(platform, 'cell-0').sort(), named.sort());
  });

  test('CC-01: a droplet that cf download-droplet gave runs again with cf push --droplet', async () => {
    const file = join(platform.home, 'droplet.tgz');
    await cf('download-droplet', 'static-site', '--path', file);
    const said = await cf('push', 'promoted-site', '--droplet', file, '-m', '64M', '-k', '256M');
    assert.match(said, /#0\s+running/);
    const answer = await eventually('the promoted droplet answers', async () => {
      const got = await platform.ask('promoted-site');
      return got.status === 200 && got;
    });
    assert.match(answer.body, /<h1>Hello from Cupola<\/h1>/);
    await cf('delete', 'promoted-site', '-f', '-r');
    // Its command is written in quotes.
    await cf('download-droplet', 'hello-node', '--path', file);
    assert.match(await cf('push', 'promoted-node', '--droplet', file, '-m', '64M', '-k', '256M'), /#0\s+running/);
    await cf('delete', 'promoted-node', '-f', '-r');
  });

  test('CTR-01: each app runs in namespaces and under a user range of its own', () => {
    const node = platform.appProcesses(/server\.js/);
    const binary = platform.appProcesses(/\.\/web/);
    assert.ok(node.length > 0 && binary.length > 0, 'the apps are seen from the machine');
    for (const { uid } of [...node, ...binary]) assert.ok(uid >= platform.layout.settings.uidRangeBase, `uid ${uid}`);
    assert.notEqual(node[0]!.uid, binary[0]!.uid);
    for (const kind of ['user', 'mnt', 'net', 'pid', 'ipc']) {
      const [own, one, other] = ['self', node[0]!.pid, binary[0]!.pid].map((pid) => namespaceOf(pid, kind));
      assert.equal(new Set([own, one, other]).size, 3, `${kind} namespaces`);
    }
  });

  test('DGO-03: an app scaled to three has three running instances, and each gets requests', async () => {
    await cf('scale', 'hello-node', '-i', '3');
    await eventually('three instances', async () => /instances:\s+3\/3/.test(await cf('app', 'hello-node')));
    assert.equal((await cf('app', 'hello-node')).match(/^#\d\s+running/gm)?.length, 3);
    const seen = new Set<number>();
    await eventually('all three answer', async () => {
      seen.add((JSON.parse((await platform.ask('hello-node')).body) as { instance: number }).instance);
      return seen.size === 3;
    });
  });

  test('LOG-01: recent logs hold lines of the app, its staging, the router and the API', async () => {
    for (const source of ['APP/PROC/WEB/\\d', 'STG/\\d', 'RTR/\\d', 'API/\\d']) {
      await eventually(`a line of ${source}`, async () =>
        new RegExp(`\\[${source}\\]\\s+(OUT|ERR) .`).test(await cf('logs', 'hello-node', '--recent')),
      );
    }
    assert.match(await cf('logs', 'hello-node', '--recent'), /\[APP\/PROC\/WEB\/\d\]\s+OUT hello-node listens on port/);
  });

  test('AUD-01: the events of the app tell who made and scaled it', async () => {
    const events = await cf('events', 'hello-node');
    for (const type of ['audit.app.create', 'audit.app.process.scale']) {
      assert.match(events, new RegExp(`${type.replaceAll('.', '\\.')}\\s+${platform.credentials.username}`));
    }
  });

  test('DGO-03: an app process that is killed is replaced without anyone asking', async () => {
    const before = platform.appProcesses(NODE_APP);
    assert.equal(before.length, 3);
    process.kill(before[0]!.pid, 'SIGKILL');
    const known = new Set(before.map(({ pid }) => pid));
    await eventually('a new process', async () => platform.appProcesses(NODE_APP).some(({ pid }) => !known.has(pid)));
    await eventually('three instances again', async () => /instances:\s+3\/3/.test(await cf('app', 'hello-node')));
    await eventually('the crash in the events', async () =>
      /audit\.app\.process\.crash/.test(await cf('events', 'hello-node')),
    );
  });

  test('RTR-03: control is killed: no request to an app fails, and control comes back', async () => {
    const first = await pidOf('control');
    let stop = false;
    const failures: string[] = [];
    let asked = 0;
    const client = async () => {
      while (!stop) {
        asked++;
        const failure = await platform.ask('hello-node').then(
          ({ status }) => (status === 200 ? null : `status ${status}`),
          (cause: unknown) => String(cause),
        );
        if (failure) failures.push(failure);
      }
    };
    const clients = [client(), client()];
    try {
      process.kill(first, 'SIGKILL');
      await eventually('control is back', async () => {
        const status = await platform.status();
        const control = status.components.find(({ name }) => name === 'control');
        return status.ready && control?.state === 'running' && control.pid !== first;
      });
      await new Promise((wake) => setTimeout(wake, 3000));
    } finally {
      stop = true;
      await Promise.all(clients);
    }
    assert.deepEqual(failures, []);
    assert.ok(asked > 50, `${asked} requests were made`);
    assert.match(await cf('app', 'hello-node'), /instances:\s+3\/3/);
  });

  test('control comes back after kill -9 with the buildpacks as the operator left them', async () => {
    await cf('delete-buildpack', 'php_buildpack', '-f');
    const first = await pidOf('control');
    process.kill(first, 'SIGKILL');
    await eventually(
      'control is back',
      async () => (await platform.status()).ready && (await pidOf('control')) !== first,
    );
    const list = await eventually('buildpacks after the restart', async () => {
      const { exitCode, stdout } = await platform.tryCf(CF, ['buildpacks']);
      return exitCode === 0 && stdout;
    });
    assert.match(list, /python_buildpack/);
    assert.doesNotMatch(list, /php_buildpack/);
  });

  test('a second `up` changes nothing', async () => {
    const before = await platform.pids();
    await platform.up();
    assert.deepEqual(await platform.pids(), before);
    assert.equal((await platform.ask('hello-node')).status, 200);
  });

  test('every part runs under its own account; only the supervisor and the cell are root', async () => {
    const { components } = await platform.status();
    const processes = new Map(allProcesses().map((seen) => [seen.pid, seen]));
    const owners = new Map<number, string>();
    for (const { name, pid, account } of components) {
      const seen = processes.get(pid ?? -1);
      assert.ok(seen, `${name} runs`);
      if (/^(supervisor|cell(-?\d+)?)$/.test(name)) {
        assert.equal(seen.uid, 0, name);
        continue;
      }
      assert.notEqual(seen.uid, 0, `${name} is not root`);
      assert.equal(seen.uid, Number(await run('id', ['-u', account])), `${name} is ${account}`);
      // What is cut off control has its account.
      const kind = SEPARABLE.some((role) => role === name) ? 'control' : name.replace(/[-:]?\d+$/, '');
      assert.equal(owners.get(seen.uid) ?? kind, kind, `${name} shares no account`);
      owners.set(seen.uid, kind);
    }
    assert.ok(owners.size >= 4, [...owners.values()].join(' '));
  });

  test('the SSH host key stays the same when the platform comes back', async () => {
    const fingerprint = async () =>
      (
        JSON.parse((await platform.ask('api', '/')).body) as {
          links: { app_ssh: { meta: { host_key_fingerprint: string } } };
        }
      ).links.app_ssh.meta.host_key_fingerprint;
    const known = await fingerprint();
    assert.match(known, /^[A-Za-z0-9+/]{43}$/);
    await platform.cupola('down');
    await platform.up();
    assert.equal(await fingerprint(), known);
    await eventually('a session', async () => (await ssh()).exitCode === 0, 120_000);
    assert.equal(await listens(platform.layout.settings.sshPort ?? 0), true);
  });

  test('`down` leaves nothing of where containers were to the router and proxies of the next `up`', async () => {
    const kept = () => startedFrom(platform.layout).filter((directory) => existsSync(directory)).length;
    assert.equal(kept(), 2);
    await platform.cupola('down');
    assert.equal(kept(), 0);
  });

  test('CC-03: `cf ssh` turned off for the platform, nobody is let in and nothing listens', async () => {
    const port = platform.layout.settings.sshPort ?? 0;
    await platform.cupola('up', ['--ssh', 'off']);
    assert.match(await cf('ssh-enabled', 'hello-node'), /disabled/);
    const { exitCode, stderr } = await ssh();
    assert.equal(exitCode, 1);
    assert.match(stderr, /SSH endpoint not set/);
    assert.equal(await listens(port), false);
    for (const name of ['hello-node', 'static-site'])
      await eventually(
        `${name} is served all the same`,
        async () => (await platform.ask(name)).status === 200,
        120_000,
      );
  });

  test('an app is deleted with its routes', async () => {
    await cf('delete', 'hello-node', '-f', '-r');
    assert.doesNotMatch(await cf('routes'), /hello-node/);
    await eventually('its processes are gone', async () => platform.appProcesses(/server\.js/).length === 0);
    await eventually('its host is unknown', async () => (await platform.ask('hello-node')).status === 404);
    assert.equal((await platform.ask('static-site')).status, 200);
  });

  test('`destroy` leaves nothing: no process, mount, link, address, table, cgroup, account, lock, and the resolver as it was', async () => {
    const { id } = platform.layout.settings;
    const running = Object.values(await platform.pids());
    await platform.destroy();
    const left = allProcesses().filter(
      ({ pid, arguments: words }) => running.includes(pid) || words.includes(platform.data),
    );
    assert.deepEqual(
      left.map(({ arguments: words }) => words),
      [],
    );
    const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
    assert.deepEqual(
      mounts.filter((line) => line.includes(`cupola-${id}`) || line.includes(`${platform.data}/`)),
      [],
    );
    const links = JSON.parse(await run('ip', ['-json', 'link'])) as { ifname: string }[];
    assert.deepEqual(
      links.map(({ ifname }) => ifname).filter((name) => name.startsWith(id) || name.includes(`cupola-${id}`)),
      [],
    );
    const tables = (await run('nft', ['list', 'tables'])).split('\n');
    assert.deepEqual(
      tables.filter((line) => new RegExp(`cupola[-_]${id}`).test(line)),
      [],
    );
    assert.equal(await run('find', ['/sys/fs/cgroup', '-type', 'd', '-name', `cupola-${id}*`]), '');
    assert.equal(existsSync(`/run/cupola-${id}`), false);
    // Control groups are every network's: those of an installation beside may come meanwhile.
    const others = ({ 'control groups': _, ...state }: MachineState) => state;
    assert.deepEqual(leftovers(others(machineBefore), others(await machineState())), []);
    if (installations().size > 0) return;
    for (const file of ['/etc/passwd', '/etc/group'])
      assert.doesNotMatch(readFileSync(file, 'utf8'), /^cupola-/m, file);
    assert.equal(readFileSync(RESOLV_CONF, 'utf8'), resolverBefore);
  });

  function ssh(): Promise<Ended> {
    return platform.tryCf(CF, ['ssh', 'hello-node', '-c', 'true'], { timeoutMs: 60_000 });
  }

  async function pidOf(component: string): Promise<number> {
    const pid = (await platform.pids())[component];
    assert.ok(pid, `${component} runs`);
    return pid;
  }
});

function namespaceOf(pid: number | string, kind: string): string {
  return readlinkSync(`/proc/${pid}/ns/${kind}`);
}

function listens(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connectTcp(port, '127.0.0.1');
  socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
  return promise.finally(() => socket.destroy());
}

/** What a plain HTTP request gets; null where the connection is refused or closed without an answer. */
function plainHttp(host: string, port: number): Promise<{ status: number; body: string } | null> {
  const { promise, resolve } = Promise.withResolvers<{ status: number; body: string } | null>();
  const request = get({ host, port, path: '/v3', agent: false, timeout: 10_000 }, (response) => {
    const chunks: Buffer[] = [];
    response.on('data', (chunk: Buffer) => chunks.push(chunk));
    response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }));
  });
  request.on('timeout', () => request.destroy());
  request.on('error', () => resolve(null));
  return promise;
}
