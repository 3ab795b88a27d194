import assert from 'node:assert/strict';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { run } from '../../../src/kit/process.ts';
import { NO_OFFICIAL_CF, officialCf } from '../../support/official-cf.ts';
import { eventually, ROOT, type TestPlatform } from '../../support/platform.ts';
import { SharedPlatform } from '../../support/shared-platform.ts';

const CF = officialCf() ?? '';
const SKIP = process.getuid?.() !== 0 ? 'needs root' : CF === '' ? NO_OFFICIAL_CF : false;
const APPS = join(ROOT, 'test/e2e/apps');
const MEBIBYTE = 1024 ** 2;

describe('Go and Java apps on a whole platform', { skip: SKIP }, () => {
  const platform = new SharedPlatform(CF, 'compiled');
  const work = mkdtempSync('/tmp/cupola-e2e-compiled-');
  const cf = (...args: string[]) => platform.cf(CF, args, { timeoutMs: 10 * 60_000 });

  before(() => platform.enter());
  after(async () => {
    rmSync(work, { recursive: true, force: true });
    await platform.leave();
  });

  /** The answer of an app once it has one; Java apps need a moment to start. */
  const answer = (name: string, path = '/'): Promise<string> =>
    eventually(`${name} answers`, async () => {
      const { status, body } = await platform.ask(name, path);
      return status === 200 && body;
    });
  const recentLogs = (name: string) => cf('logs', name, '--recent');
  /** Seconds of one push. */
  const push = async (...args: string[]): Promise<number> => {
    const began = performance.now();
    assert.match(await cf('push', ...args), /#0\s+running/);
    return (performance.now() - began) / 1000;
  };

  for (const { name, expected, buildpack } of [
    { name: 'hello-go', expected: /"go":"go1\.\d+/, buildpack: 'go_buildpack' },
    { name: 'hello-java', expected: /"java":"17\./, buildpack: 'java_buildpack' },
  ]) {
    test(`BPK-01, BPK-02: ${name} is detected, built with its dependencies and answers; again, it takes half the time`, async (t) => {
      const directory = join(ROOT, 'examples', name);
      const words = ['-f', join(directory, 'manifest.yml'), '-p', directory];
      const first = await push(...words);
      assert.match(await answer(name), expected);
      assert.match(await cf('app', name), new RegExp(`${buildpack}\\s+0\\.`));
      const staged = await recentLogs(name);
      const built = stagingSeconds(staged);

      const second = await push(...words);
      assert.match(await answer(name), expected);
      const again = stagingSeconds(await recentLogs(name));
      t.diagnostic(`pushes took ${first.toFixed(1)} s and ${second.toFixed(1)} s; building ${built} s and ${again} s`);
      assert.ok(again <= built / 2, `building took ${built} s and ${again} s the second time`);
    });
  }

  test('BPK-02: vendored modules are built without a registry, each package named in GO_INSTALL_PACKAGE_SPEC', async () => {
    // A new version of the app from before: the standard library, which takes long to compile, is in its build cache.
    const manifest = writeManifest('hello-go', {
      memory: '64M',
      env: { GO_INSTALL_PACKAGE_SPEC: './cmd/probe', GOPROXY: 'off' },
      'health-check-type': 'port',
    });
    assert.match(await cf('push', '-f', manifest, '-p', join(APPS, 'go-probe')), /start command:\s+\.\/bin\/probe/);
    assert.equal((await answer('hello-go')).trim(), 'ok');
  });

  test('CTR-01: a Go program and its children run as vcap, filtered, and without capabilities', async () => {
    const { own, child, failure } = JSON.parse(await answer('hello-go', '/status')) as {
      own: string;
      child: string;
      failure: boolean;
    };
    assert.equal(failure, false);
    assertConfined(own);
    assertConfined(child);
    const { clone, unshare } = JSON.parse(await answer('hello-go', '/unshare')) as { clone: string; unshare: string };
    assert.match(clone, /operation not permitted|function not implemented/); // clone3 is told to be unknown
    assert.match(unshare, /operation not permitted/);
  });

  test('BPK-01: an executable jar is pushed as the cf CLI uploads it, unpacked', async () => {
    const jar = await buildProbe(platform, work);
    const manifest = writeManifest('java-probe', {
      memory: '256M',
      env: {
        JAVA_OPTS: '-XX:ReservedCodeCacheSize=32M -Dprobe.word="two words"',
        JBP_CONFIG_OPEN_JDK_JRE: '{ jre: { version: 17.+ }, memory_calculator: { stack_threads: 20 } }',
        JBP_CONFIG_JAVA_MAIN: '{ arguments: "--an argument" }',
        JBP_CONFIG_TOMCAT: '{ tomcat: { version: 10.+ } }',
      },
    });
    await push('-f', manifest, '-p', jar);
    assert.equal(await answer('java-probe'), 'ok');
    assert.equal(await answer('java-probe', '/property'), 'two words [--an, argument]');
    const logs = await recentLogs('java-probe');
    assert.match(logs, /WARNING: JBP_CONFIG_TOMCAT is not known/);
    assert.match(logs, /JVM Memory Configuration: -Xmx\d+K -Xss1M -XX:ReservedCodeCacheSize=32M/);
  });

  test('CTR-01: a JVM and its children run as vcap, filtered, and without capabilities', async () => {
    assertConfined(await answer('java-probe', '/status'));
    assertConfined(await answer('java-probe', '/child'));
  });

  test('BPK-02: the JVM knows its limit, and its heap leaves room for everything else', async () => {
    const { total, heap } = JSON.parse(await answer('java-probe', '/memory')) as { total: number; heap: number };
    assert.equal(total, 256 * MEBIBYTE);
    assert.ok(heap > 64 * MEBIBYTE && heap < 128 * MEBIBYTE, `${heap} bytes of heap`);
  });

  test('IID-08: every TLS connection of a JVM trusts the authority of the platform', async () => {
    const {
      platform: count,
      trusted,
      all,
    } = JSON.parse(await answer('java-probe', '/trust')) as {
      platform: number;
      trusted: boolean;
      all: number;
    };
    assert.ok(count > 0 && trusted, `${count} certificates of the platform, trusted: ${trusted}`);
    assert.ok(all > 50, `${all} authorities in all`);
  });

  test('CTR-05: an app that allocates beyond its limit crashes with a reason, and its neighbour goes on', async () => {
    const before = await platform.ask('java-probe');
    assert.equal(before.status, 200);
    for (const name of ['java-probe', 'hello-go']) {
      await platform.ask(name, '/allocate').catch(() => null); // no answer comes back
      await eventually(`the crash of ${name} in its events`, async () =>
        /audit\.app\.process\.crash/.test(await cf('events', name)),
      );
      assert.match((await answer('hello-java')).trim(), /hello-java/);
      assert.ok((await answer(name)).startsWith('ok'), `${name} came back`);
    }
    assert.match(await recentLogs('java-probe'), /Terminating due to java\.lang\.OutOfMemoryError: Java heap space/);
    assert.match(await recentLogs('hello-go'), /out of memory/i);
    assert.doesNotMatch(await cf('events', 'hello-java'), /crash/);
  });

  test('a limit that the JVM cannot be laid out in is refused with the sum', async () => {
    const failed = await platform.tryCf(CF, [
      'push',
      'too-small',
      '-p',
      join(work, 'probe.jar'),
      '-m',
      '128M',
      '-t',
      '5',
    ]);
    assert.notEqual(failed.exitCode, 0);
    assert.match(await recentLogs('too-small'), /Cannot calculate JVM memory configuration: .* raise the memory limit/);
    await cf('delete', 'too-small', '-f');
  });

  test('BPK-06: a droplet of Go holds no toolchain, and one of Java no compiler and no Maven', async () => {
    const listing = async (name: string) => {
      const file = join(work, `${name}.tgz`);
      await cf('download-droplet', name, '--path', file);
      return run('tar', ['-tzf', file], { timeoutMs: 60_000 });
    };
    assert.doesNotMatch(await listing('hello-go'), /vendor\/go\/|pkg\/tool/);
    const java = await listing('hello-java');
    assert.match(java, /deps\/\.prepacked\/jre-17[^\n]*\/bin\/java\n/);
    assert.doesNotMatch(java, /bin\/javac|ct\.sym|apache-maven|maven-core/);
  });

  function writeManifest(
    name: string,
    settings: { memory: string; env: Record<string, string>; 'health-check-type'?: 'port' },
  ): string {
    const file = join(work, `${name}.yml`);
    const application = { name, disk_quota: '512M', ...settings };
    writeFileSync(file, JSON.stringify({ applications: [application] })); // JSON is YAML
    return file;
  }
});

/** From the first line of a buildpack to the upload of what it made, of the last staging in these logs. */
function stagingSeconds(logs: string): number {
  const times = (pattern: RegExp) =>
    [...logs.matchAll(/^\s*(\S+T\S+) \[STG\/\d+\]\s+\w+ (.*)$/gm)]
      .filter(([, , text]) => pattern.test(text!))
      .map(([, time]) => Date.parse(time!.replace(/\+0000$/, 'Z')));
  const began = times(/^-----> \w+ Buildpack version/).at(-1);
  const ended = times(/^Uploading droplet, build artifacts cache/).at(-1);
  assert.ok(began !== undefined && ended !== undefined, `no staging in:\n${logs}`);
  return (ended - began) / 1000;
}

/** /proc/self/status: filtered by seccomp, no privilege to gain, no capability, user and group vcap. */
function assertConfined(status: string): void {
  assert.match(status, /^Seccomp:\t2$/m);
  assert.match(status, /^NoNewPrivs:\t1$/m);
  for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) {
    assert.match(status, new RegExp(`^${set}:\\t0{16}$`, 'm'));
  }
  assert.match(status, /^Uid:\t2000\t2000\t2000\t2000$/m);
  assert.match(status, /^Gid:\t2000\t2000\t2000\t2000$/m);
}

/** Compiles the probe with what the Java buildpack brings, so that the machine needs no Java; gives the jar. */
async function buildProbe(platform: TestPlatform, work: string): Promise<string> {
  const buildpacks = platform.layout.buildpacks;
  const zip = readdirSync(buildpacks).find((name) => /^java_buildpack-.*\.zip$/.test(name));
  assert.ok(zip, `no Java buildpack in ${buildpacks}`);
  const jdk = join(work, 'jdk');
  await run('unzip', ['-q', join(buildpacks, zip), 'prepacked/*', '-d', jdk], { timeoutMs: 120_000 });
  const name = readdirSync(join(jdk, 'prepacked')).find((entry) => /^jre-[0-9.]+$/.test(entry))!;
  const bin = join(jdk, 'prepacked', name, 'bin');
  const classes = join(work, 'classes');
  mkdirSync(classes);
  cpSync(join(APPS, 'java-probe/Probe.java'), join(work, 'Probe.java'));
  await run(join(bin, 'javac'), ['-d', classes, join(work, 'Probe.java')], { timeoutMs: 120_000 });
  const jar = join(work, 'probe.jar');
  await run(join(bin, 'jar'), ['--create', '--file', jar, '--main-class', 'probe.Probe', '-C', classes, '.'], {
    timeoutMs: 60_000,
  });
  return jar;
}
