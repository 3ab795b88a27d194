import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { tar } from '../../support/archives.ts';
import { cellListener } from '../../support/cell-listener.ts';
import { NO_OFFICIAL_CF, officialCf } from '../../support/official-cf.ts';
import { eventually } from '../../support/platform.ts';
import { allProcesses } from '../../support/processes.ts';
import { busyboxLayer, READER, REGISTRY_SKIP, startRegistry, type TestRegistry } from '../../support/registry.ts';
import { OPEN_REGISTRY, PRIVATE_REGISTRY, SharedPlatform } from '../../support/shared-platform.ts';

const CF = officialCf() ?? '';
const SKIP = process.getuid?.() !== 0 ? 'needs root' : CF === '' ? NO_OFFICIAL_CF : REGISTRY_SKIP;

/** Answers with what the shell makes of the query's command. */
const PROBE = '#!/bin/sh\necho "content-type: text/plain"\necho\nexec 2>&1\ncat | /bin/sh\n';

describe('container images, with the official cf', { skip: SKIP }, () => {
  const platform = new SharedPlatform(CF, 'docker');
  const cf = (...args: string[]) => platform.cf(CF, args);
  let registry: TestRegistry;
  let locked: TestRegistry;
  const layers = [
    busyboxLayer(),
    tar([
      { name: 'www/', type: 'directory' },
      { name: 'www/index.html', content: 'hello from an image\n' },
      { name: 'www/cgi-bin/', type: 'directory' },
      { name: 'www/cgi-bin/sh', content: PROBE, mode: 0o755 },
    ]),
  ];
  const config = {
    Entrypoint: ['/bin/httpd', '-f'],
    Cmd: ['-p', '9090', '-h', '/www'],
    Env: ['PATH=/bin', 'FROM_IMAGE=yes', 'GREETING=from the image'],
    ExposedPorts: { '9090/tcp': {} },
    WorkingDir: '/www',
    User: 'web',
  };

  before(async () => {
    registry = await startRegistry(OPEN_REGISTRY);
    locked = await startRegistry(PRIVATE_REGISTRY, 'basic');
    await platform.enter();
  });
  after(async () => {
    try {
      await Promise.all([registry?.stop(), locked?.stop()]);
      await cf('disable-feature-flag', 'diego_docker');
    } finally {
      await platform.leave();
    }
  });

  /** Runs a script inside of an instance. */
  const inside = async (name: string, script: string): Promise<string> => {
    const { status, body } = await platform.ask(name, '/cgi-bin/sh', { body: script });
    assert.equal(status, 200, body);
    return body;
  };
  const recent = (name: string) => cf('logs', name, '--recent');

  test('images are pushed only where the operator allows them', async () => {
    const { reference } = await registry.push('team/web', '1', { layers, config });
    const refused = await platform.tryCf(CF, ['push', 'web', '-o', reference]);
    assert.notEqual(refused.exitCode, 0);
    assert.match(refused.stdout + refused.stderr, /Feature Disabled: diego_docker/);
    await cf('enable-feature-flag', 'diego_docker');
  });

  test('a public image is pushed, pinned by its digest, and started as it says itself', async () => {
    const { reference, digest } = await registry.push('team/web', '1', { layers, config });
    const said = await cf('push', 'web', '-o', reference, '-m', '64M');
    assert.match(said, /#0\s+running/);
    assert.match(said, new RegExp(`docker image:\\s+${reference}@${digest}`));
    assert.equal(await platform.answer('web'), 'hello from an image\n');
    assert.match(await recent('web'), /\[STG\/0\]\s+OUT Staging Complete/);
    await cf('set-env', 'web', 'GREETING', 'from the app');
    await cf('restart', 'web');
    await platform.answer('web');
    const environment = await inside('web', 'env; id; ls /etc/cf-system-certificates; cat $CF_INSTANCE_CERT | head -1');
    for (const line of ['PORT=9090', 'FROM_IMAGE=yes', 'GREETING=from the app', 'HOME=/srv', 'USER=web']) {
      assert.ok(environment.split('\n').includes(line), line);
    }
    assert.match(environment, /^VCAP_APPLICATION=.*"application_name":"web"/m);
    assert.match(environment, /^uid=1234\(web\) gid=1235\(web\) groups=77\(log\)$/m);
    assert.match(environment, /trusted-ca-1\.crt\n(?:trusted-ca-\d+\.crt\n)*-----BEGIN CERTIFICATE-----/);
  });

  test('CTR-01: an image’s container is as shut as every other, also where its user is root', async () => {
    const { reference } = await registry.push('team/root', '1', { layers, config: { ...config, User: '' } });
    await cf('push', 'rooted', '-o', reference, '-m', '64M');
    await platform.answer('rooted');
    for (const name of ['web', 'rooted']) {
      const status = await inside(name, 'cat /proc/self/status /proc/self/uid_map');
      for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) {
        assert.match(status, new RegExp(`^${set}:\\s+0{16}$`, 'm'), `${name} ${set}`);
      }
      assert.match(status, /^Seccomp:\s+2$/m);
      assert.match(status, /^NoNewPrivs:\s+1$/m);
      const base = Number(/^\s+0\s+(\d+)\s+65536$/m.exec(status)?.[1]);
      assert.ok(base >= platform.layout.settings.uidRangeBase, `${name} at ${base}`);
      const cell = await cellListener(platform);
      const attempts = [
        'mount -t tmpfs x /tmp',
        'unshare -U true',
        'chown 1:1 /tmp',
        'cat /proc/kcore',
        'wget -T 2 -O- http://169.254.169.254/',
        `wget -T 2 -O- http://127.0.0.1:${OPEN_REGISTRY}/v2/`,
        `nc -w 2 ${cell.replace(':', ' ')}`,
        'touch /sys/x /proc/sys/kernel/x',
      ];
      const done = await inside(name, attempts.map((one) => `${one} >/dev/null 2>&1 && echo "did: ${one}"`).join('\n'));
      assert.equal(done, '', name);
    }
    assert.match(await inside('rooted', 'id -u; touch /bin/own && echo wrote'), /^0\nwrote\n$/);
    assert.doesNotMatch(await inside('web', 'ls /bin'), /\bown\b/);
  });

  test('further instances start from cached layers, and the registry is not asked', async (t) => {
    const asked = registry.asked().length;
    const began = performance.now();
    await cf('scale', 'web', '-i', '3');
    await eventually('three instances', async () => /instances:\s+3\/3/.test(await cf('app', 'web')));
    const milliseconds = Math.round(performance.now() - began);
    assert.equal(registry.asked().length, asked);
    const lines = await recent('web');
    assert.equal(lines.match(/Downloaded image/g)?.length, 1, 'fetched once, for the first instance');
    t.diagnostic(`two more instances run ${milliseconds} ms after cf scale`);
    await cf('scale', 'web', '-i', '1');
  });

  test('a task and a session run in the image, as its user', async () => {
    await cf('run-task', 'web', '--command', 'id -un; echo $FROM_IMAGE', '--name', 'look');
    await eventually('the task', async () => /look\s+SUCCEEDED/.test(await cf('tasks', 'web')));
    assert.match(
      await cf('ssh', 'web', '-c', 'id; grep CapEff /proc/self/status; echo $FROM_IMAGE'),
      /^uid=1234\(web\) .*\nCapEff:\s+0{16}\s+yes\s*$/,
    );
    await eventually('its lines', async () =>
      /APP\/TASK\/look\/0\]\s+OUT web\n[\s\S]*OUT yes/.test(await recent('web')),
    );
  });

  test('a private image asks for a password; a wrong one is told, and the right one is kept secret', async () => {
    const { reference } = await locked.push('team/secret', '1', { layers, config });
    const args = ['push', 'secret', '-o', reference, '--docker-username', READER.username, '-m', '64M'];
    const wrong = await platform.tryCf(CF, args, { env: { CF_DOCKER_PASSWORD: 'not the password' } });
    assert.notEqual(wrong.exitCode, 0);
    assert.match(wrong.stdout + wrong.stderr, /the registry refuses access to the image: .*user name and password/);
    // The same image from a manifest.
    const manifest = join(platform.home, 'manifest.yml');
    const docker = `docker: {image: "${reference}", username: ${READER.username}}`;
    writeFileSync(manifest, `applications:\n- name: secret\n  memory: 64M\n  ${docker}\n`);
    await platform.cf(CF, ['push', '-f', manifest], { env: { CF_DOCKER_PASSWORD: READER.password } });
    assert.equal(await platform.answer('secret'), 'hello from an image\n');
    const guid = (await cf('app', 'secret', '--guid')).trim();
    const shown = await cf('curl', `/v3/apps/${guid}/packages`);
    assert.match(shown, /"password": ?"\*\*\*"/);
    const logs = readdirSync(platform.layout.logs).map((name) =>
      readFileSync(join(platform.layout.logs, name), 'latin1'),
    );
    const processes = allProcesses().map((one) => `${one.arguments} ${one.environment}`);
    const encoded = Buffer.from(`${READER.username}:${READER.password}`).toString('base64');
    for (const text of [...logs, ...processes, shown, await recent('secret'), await inside('secret', 'env')]) {
      assert.ok(!text.includes(READER.password) && !text.includes(encoded));
    }
  });

  test('./cupola push takes an image of a registry that asks for a password, and says where that is to stand', async () => {
    const { reference } = await locked.push('team/own', '1', { layers, config });
    const manifest = join(platform.home, 'own.yml');
    const docker = `docker: {image: "((image))", username: ${READER.username}}`;
    writeFileSync(manifest, `applications:\n- {name: own, memory: 64M, ${docker}}\n`);
    const push = () => {
      const place = ['-o', platform.org, '-s', 'dev'];
      return platform.tryCupola('push', [...place, '-f', manifest, '--var', `image=${reference}`], 3 * 60_000);
    };
    const without = await push();
    assert.equal(without.exitCode, 1);
    assert.match(
      without.stderr,
      /^cupola: own is an image of a registry that asks \S+ for a password: CF_DOCKER_PASSWORD/,
    );
    process.env['CF_DOCKER_PASSWORD'] = READER.password;
    try {
      const { exitCode, stdout, stderr } = await push();
      assert.equal(exitCode, 0, `${stdout}\n${stderr}`);
    } finally {
      delete process.env['CF_DOCKER_PASSWORD'];
    }
    assert.equal(await platform.answer('own'), 'hello from an image\n');
  });

  test('an image without a shell runs; a command of the app’s own needs one and says so', async () => {
    const bare = tar([{ name: 'busybox', content: readFileSync('/bin/busybox'), mode: 0o755 }]);
    const { reference } = await registry.push('team/bare', '1', {
      layers: [bare],
      config: { Cmd: ['/busybox', 'httpd', '-f', '-p', '8080'] },
      kind: 'oci',
    });
    await cf('push', 'bare', '-o', reference, '-m', '32M');
    await eventually('an answer', async () => (await platform.ask('bare', '/busybox')).status === 200);
    const own = await platform.tryCf(CF, ['push', 'bare-own', '-o', reference, '-m', '32M', '-c', 'echo hello']);
    assert.notEqual(own.exitCode, 0);
    await eventually('the reason', async () =>
      /Failed to start "\/bin\/sh": no such file/.test(await cf('events', 'bare-own')),
    );
    await cf('delete', 'bare-own', '-f');
    await cf(
      'push',
      'web',
      '-o',
      `127.0.0.1:${OPEN_REGISTRY}/team/web:1`,
      '-m',
      '64M',
      '-c',
      'httpd -f -p $PORT -h /etc',
    );
    assert.match(await platform.answer('web', '/passwd'), /^root:x:0:0/);
  });

  test('a killed cell takes its images over', async () => {
    const before = await inside('rooted', 'echo $CF_INSTANCE_GUID');
    const cell = (await platform.status()).components.find(({ name }) => name === 'cell-0');
    assert.ok(cell?.pid);
    process.kill(cell.pid, 'SIGKILL');
    await eventually('a new cell process', async () => {
      const now = (await platform.status()).components.find(({ name }) => name === 'cell-0');
      return now?.state === 'running' && now.pid !== cell.pid;
    });
    assert.equal(await inside('rooted', 'echo $CF_INSTANCE_GUID'), before);
    await cf('scale', 'rooted', '-i', '2');
    await eventually('two instances', async () => /instances:\s+2\/2/.test(await cf('app', 'rooted')));
  });

  test('SECURITY 28: a registry at an internal address that the operator did not name is not asked', async () => {
    const other = await startRegistry(22_212);
    await cf('enable-feature-flag', 'diego_docker');
    try {
      const { reference } = await other.push('team/web', '1', { layers, config });
      const asked = other.asked().length;
      const refused = await platform.tryCf(CF, ['push', 'inner', '-o', reference]);
      assert.notEqual(refused.exitCode, 0, 'nothing is pushed');
      assert.match(refused.stdout + refused.stderr, /the registry 127\.0\.0\.1 is at an internal address/);
      assert.equal(other.asked().length, asked);
    } finally {
      await other.stop();
    }
  });
});
