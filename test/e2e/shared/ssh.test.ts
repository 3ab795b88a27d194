import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { accessSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { PLAIN_ENVIRONMENT } from '../../../src/kit/process.ts';
import { cellListener } from '../../support/cell-listener.ts';
import { NO_OFFICIAL_CF, officialCf } from '../../support/official-cf.ts';
import { Planted } from '../../support/planted.ts';
import { type Ended, eventually, ROOT, runProgram } from '../../support/platform.ts';
import { SharedPlatform } from '../../support/shared-platform.ts';

const CF = officialCf() ?? '';
const SKIP = process.getuid?.() !== 0 ? 'needs root' : CF === '' ? NO_OFFICIAL_CF : false;
const NO_OPENSSH = ['ssh', 'scp', 'sftp', 'script'].some((name) => !inPath(name)) && 'needs ssh, scp, sftp and script';

function inPath(name: string): boolean {
  try {
    accessSync(`/usr/bin/${name}`);
    return true;
  } catch {
    return false;
  }
}

describe('cf ssh on a whole platform', { skip: SKIP }, () => {
  const platform = new SharedPlatform(CF, 'ssh');
  const cf = (...args: string[]) => platform.cf(CF, args);
  const tryCf = (...args: string[]) => platform.tryCf(CF, args, { timeoutMs: 60_000 });
  const planted = `planted-${randomBytes(16).toString('hex')}`;
  let guid = '';
  let port = 0;

  before(async () => {
    await platform.enter();
    port = platform.layout.settings.sshPort ?? 0;
    const directory = join(ROOT, 'examples/hello-node');
    await cf('push', 'shelly', '-p', directory, '-f', join(directory, 'manifest.yml'), '--no-start');
    await cf('set-env', 'shelly', 'PLANTED', planted);
    await cf('start', 'shelly');
    guid = (await cf('app', 'shelly', '--guid')).trim();
  });
  after(() => platform.leave());

  /** A program of OpenSSH's, with a fresh one-time code as its password. */
  async function openssh(
    program: string,
    args: string[],
    { code, at = port, instance = 0 }: { code?: string; at?: number; instance?: number } = {},
  ): Promise<Ended> {
    const askpass = join(platform.home, 'askpass');
    writeFileSync(askpass, '#!/bin/sh\nexec cat "$CODE_FILE"\n', { mode: 0o700 });
    const file = join(platform.home, 'code');
    writeFileSync(file, code ?? (await cf('ssh-code')).trim(), { mode: 0o600 });
    const options = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'LogLevel=ERROR'];
    options.push('PreferredAuthentications=password', 'PubkeyAuthentication=no', 'NumberOfPasswordPrompts=1');
    options.push(`User=cf:${guid}/${instance}`, `Port=${at}`);
    return runProgram(program, [...options.flatMap((option) => ['-o', option]), ...args], {
      env: {
        ...PLAIN_ENVIRONMENT,
        HOME: platform.home,
        SSH_ASKPASS: askpass,
        SSH_ASKPASS_REQUIRE: 'force',
        DISPLAY: ':0',
        CODE_FILE: file,
      },
      timeoutMs: 60_000,
    });
  }

  /** That nobody is let in, and why. */
  async function turnedAway(why: RegExp, ...options: string[]): Promise<void> {
    const { exitCode, stderr } = await tryCf('ssh', 'shelly', ...options, '-c', 'true');
    assert.equal(exitCode, 1);
    assert.match(stderr, why);
  }

  /** That the platform, whatever the client checks by itself, lets nobody in. */
  async function notLetIn(options: { code?: string; instance?: number }): Promise<void> {
    const { exitCode, stderr } = await openssh('ssh', ['127.0.0.1', 'true'], options);
    assert.equal(exitCode, 255);
    assert.match(stderr, /Permission denied/);
  }

  test('CC-04, APM-02: a command runs in the app: its environment, its runtime, its exit code', async () => {
    const said = await cf('ssh', 'shelly', '-c', 'echo $PLANTED $PORT $HOME; pwd; command -v node; id -u');
    assert.equal(said, `${planted} 8080 /home/vcap\n/home/vcap\n/home/vcap/deps/0/bin/node\n2000\n`);
    assert.equal((await tryCf('ssh', 'shelly', '-c', 'exit 7')).exitCode, 7);
    const { stdout } = await openssh('ssh', ['127.0.0.1', 'exit 7']).then((ended) => {
      assert.equal(ended.exitCode, 7);
      return ended;
    });
    assert.equal(stdout, '');
  });

  test('a session has the locale of apps, and one that the app names itself', async () => {
    assert.equal(
      await cf('ssh', 'shelly', '-c', 'echo $LANG; locale charmap; locale 2>&1 >/dev/null'),
      'en_US.UTF-8\nUTF-8\n',
    );
    assert.equal(await cf('ssh', 'shelly', '-c', 'export LANG=C; locale charmap'), 'ANSI_X3.4-1968\n');
  });

  test("APM-02: the app's log says who was inside", async () => {
    await cf('ssh', 'shelly', '-c', 'true');
    await eventually('both lines', async () =>
      /\[SSH\/0\] +OUT Successful remote access by [\d.]+:\d+\n[\s\S]*\[SSH\/0\] +OUT Remote access ended for [\d.]+:\d+/.test(
        await cf('logs', 'shelly', '--recent'),
      ),
    );
  });

  test('SECURITY 22, 31: what it starts is confined as the app is', async () => {
    const said = await cf(
      'ssh',
      'shelly',
      '-c',
      'id -u; grep -E "^(Seccomp|NoNewPrivs|CapEff|CapBnd):" /proc/self/status',
    );
    assert.match(said, /^2000\n/);
    for (const line of ['CapEff:\t0000000000000000', 'CapBnd:\t0000000000000000', 'NoNewPrivs:\t1', 'Seccomp:\t2'])
      assert.ok(said.includes(line), said);
  });

  test('interactive, on a terminal, of the size the terminal has', { skip: NO_OPENSSH }, async () => {
    const child = spawn('script', ['-qefc', `stty rows 33 cols 99; ${CF} ssh shelly`, '/dev/null'], {
      env: {
        ...PLAIN_ENVIRONMENT,
        HOME: platform.home,
        CF_HOME: platform.home,
        SSL_CERT_FILE: platform.caFile,
        TERM: 'xterm',
      },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    let seen = '';
    child.stdout.on('data', (chunk: Buffer) => {
      seen += chunk;
    });
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
    const shows = async (what: RegExp): Promise<void> => {
      await eventually(String(what), async () => what.test(seen)).catch((cause: unknown) => {
        throw new Error(`saw ${JSON.stringify(seen)}`, { cause });
      });
    };
    await shows(/\$ /);
    child.stdin.write('stty size; tty; echo $((6 * 7))\r');
    await shows(/33 99\r\n\/dev\/pts\/\d+\r\n42\r\n/);
    child.stdin.write('exit 5\r');
    assert.equal(await ended, 5, seen);
  });

  test('-L reaches the app from inside, and nothing it may not', async () => {
    const local = 22_340;
    const cells = await cellListener(platform);
    const reaches = (to: string) =>
      tryCf('ssh', 'shelly', '-c', `timeout 2 bash -c '</dev/tcp/${to.replace(':', '/')}'`);
    assert.equal((await reaches('127.0.0.1:8080')).exitCode, 0);
    assert.equal((await reaches(cells)).exitCode, 1, 'nor does the app');
    const child = spawn(CF, ['ssh', 'shelly', '-N', '-L', `${local}:localhost:8080`, '-L', `${local + 1}:${cells}`], {
      env: { ...PLAIN_ENVIRONMENT, HOME: platform.home, CF_HOME: platform.home, SSL_CERT_FILE: platform.caFile },
      stdio: 'ignore',
    });
    try {
      const fetched = async (at: number) => fetch(`http://127.0.0.1:${at}/`, { signal: AbortSignal.timeout(5000) });
      await eventually(
        'the app through the tunnel',
        async () => (await fetched(local).catch(() => null))?.status === 200,
        20_000,
      );
      await assert.rejects(fetched(local + 1), ({ cause }: Error) =>
        /other side closed|ECONNRESET/.test(String(cause)),
      );
    } finally {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill();
      await gone;
    }
  });

  test('OpenSSH: scp of both kinds and sftp carry files; -R is refused', { skip: NO_OPENSSH }, async () => {
    const [up, down] = [join(platform.home, 'up'), join(platform.home, 'down')];
    const content = randomBytes(3_000_000);
    writeFileSync(up, content);
    for (const kind of [[], ['-O']]) {
      const put = await openssh('scp', [...kind, up, '127.0.0.1:/home/vcap/tmp/copied']);
      assert.equal(put.exitCode, 0, put.stderr);
      const got = await openssh('scp', [...kind, '127.0.0.1:/home/vcap/tmp/copied', down]);
      assert.equal(got.exitCode, 0, got.stderr);
      assert.ok(readFileSync(down).equals(content));
    }
    const batch = join(platform.home, 'batch');
    writeFileSync(batch, 'ls -l /home/vcap/tmp/copied\n');
    const listed = await openssh('sftp', ['-oBatchMode=no', '-b', batch, '127.0.0.1']);
    assert.match(listed.stdout, /3000000/, listed.stderr);
    const backwards = await openssh('ssh', [
      '-o',
      'ExitOnForwardFailure=yes',
      '-N',
      '-R',
      '22345:127.0.0.1:8080',
      '127.0.0.1',
    ]);
    assert.notEqual(backwards.exitCode, 0);
    assert.match(backwards.stderr, /remote port forwarding failed/);
  });

  test('the HTTPS port takes SSH clients too, and goes on taking HTTPS', { skip: NO_OPENSSH }, async () => {
    const { exitCode, stdout, stderr } = await openssh('ssh', ['127.0.0.1', 'echo in'], { at: platform.httpsPort });
    assert.deepEqual([exitCode, stdout], [0, 'in\n'], stderr);
    assert.equal((await platform.ask('shelly')).status, 200);
  });

  test('SECURITY-TESTS 17: a code is good once, and by itself says nothing', async () => {
    const code = (await cf('ssh-code')).trim();
    assert.equal((await openssh('ssh', ['127.0.0.1', 'true'], { code })).exitCode, 0);
    await notLetIn({ code });
    await notLetIn({ code: 'made-up-code' });
  });

  test('CC-03: switches of app and space shut it at once; an index out of range is nowhere', async () => {
    await turnedAway(/Instance 5 of process web not found/, '-i', '5');
    await notLetIn({ instance: 5 }); // whoever does not ask first
    await cf('disable-ssh', 'shelly');
    assert.match(await cf('ssh-enabled', 'shelly'), /disabled/);
    await turnedAway(/not authorized/);
    await cf('enable-ssh', 'shelly');
    await cf('disallow-space-ssh', 'dev');
    assert.match(await cf('space-ssh-allowed', 'dev'), /disabled/);
    await turnedAway(/not authorized/);
    await cf('allow-space-ssh', 'dev');
    assert.equal((await tryCf('ssh', 'shelly', '-c', 'true')).exitCode, 0);
  });

  test('an auditor may look and not enter; each try is an event', async () => {
    await platform.cf(CF, ['create-user', 'audrey', 'only-for-this-test']);
    await cf('set-space-role', 'audrey', platform.org, 'dev', 'SpaceAuditor');
    await platform.cf(CF, ['auth', 'audrey'], { password: 'only-for-this-test' });
    await cf('target', '-o', platform.org, '-s', 'dev');
    assert.match(await cf('app', 'shelly'), /running/);
    await turnedAway(/not authorized/);
    await platform.signIn(CF);
    await cf('target', '-o', platform.org, '-s', 'dev');
    const events = await cf('events', 'shelly');
    assert.match(events, /audit\.app\.ssh-authorized\s+admin\s+index: 0/);
    assert.match(events, /audit\.app\.ssh-unauthorized\s+audrey\s+index: 0/);
    await cf('delete-user', 'audrey', '-f');
  });

  test('a session outlives idle minutes by the keepalive of the CLI, and ends with its instance', async () => {
    const lasting = tryCf('ssh', 'shelly', '-c', 'sleep 33; echo awake; exec sleep 1000');
    await new Promise((resolve) => setTimeout(resolve, 36_000)); // one keepalive@cloudfoundry.org
    const began = Date.now();
    await cf('stop', 'shelly');
    const ended = await lasting;
    assert.ok(Date.now() - began < 25_000, 'with the instance');
    assert.match(ended.stdout, /awake/);
    assert.doesNotMatch(ended.stderr, /keep alive/);
    assert.equal(ended.exitCode, 137, ended.stderr);
    await turnedAway(/not in the STARTED state/);
    await notLetIn({ instance: 0 });
    await cf('start', 'shelly');
  });

  test('SECURITY-TESTS 28: what is secret is in no log', { skip: NO_OPENSSH }, async () => {
    const secrets = new Planted();
    secrets.add('a variable', planted);
    const code = (await cf('ssh-code')).trim();
    secrets.add('a code', code);
    assert.equal((await openssh('ssh', ['127.0.0.1', 'true'], { code })).exitCode, 0);
    await notLetIn({ code: secrets.make('a wrong code') });
    const logs = readdirSync(platform.layout.logs).map((name) => readFileSync(join(platform.layout.logs, name)));
    assert.match(Buffer.concat(logs).toString(), /a user opened a connection to an instance[\s\S]*a login was refused/);
    assert.deepEqual(secrets.in(Buffer.concat(logs)), []);
  });
});
