import assert from 'node:assert/strict';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { run } from '../../src/kit/process.ts';
import { assertConfined } from '../support/confined.ts';
import { NO_OFFICIAL_CF, officialCf } from '../support/official-cf.ts';
import { eventually, ROOT, TestPlatform } from '../support/platform.ts';

const CF = officialCf() ?? '';
const SKIP = process.getuid?.() !== 0 ? 'needs root' : CF === '' ? NO_OFFICIAL_CF : false;
const PROBE = join(ROOT, 'test/e2e/apps/java-probe/Probe.java');
const MEBIBYTE = 1024 ** 2;

describe('executable jars on a whole platform', { skip: SKIP }, () => {
  const platform = new TestPlatform({ httpsPort: 8448, domain: 'jars.cupola.localhost' });
  const work = mkdtempSync('/tmp/cupola-e2e-jars-');
  const cf = (...args: string[]) => platform.cf(CF, args, { timeoutMs: 10 * 60_000 });

  before(() => platform.upWithOrg(CF));
  after(async () => {
    rmSync(work, { recursive: true, force: true });
    await platform.remove();
  });

  const recentLogs = (name: string) => cf('logs', name, '--recent');

  test('BPK-01: an executable jar is pushed as the cf CLI uploads it, unpacked', async () => {
    const jar = await buildProbe(platform, work);
    const manifest = writeManifest({
      memory: '256M',
      env: {
        JAVA_OPTS: '-XX:ReservedCodeCacheSize=32M -Dprobe.word="two words"',
        JBP_CONFIG_OPEN_JDK_JRE: '{ jre: { version: 17.+ }, memory_calculator: { stack_threads: 20 } }',
        JBP_CONFIG_JAVA_MAIN: '{ arguments: "--an argument" }',
        JBP_CONFIG_TOMCAT: '{ tomcat: { version: 10.+ } }',
      },
    });
    assert.match(await cf('push', '-f', manifest, '-p', jar), /#0\s+running/);
    assert.equal(await platform.answer('java-probe'), 'ok');
    assert.equal(await platform.answer('java-probe', '/property'), 'two words [--an, argument]');
    const logs = await recentLogs('java-probe');
    assert.match(logs, /WARNING: JBP_CONFIG_TOMCAT is not known/);
    assert.match(logs, /JVM Memory Configuration: -Xmx\d+K -Xss1M -XX:ReservedCodeCacheSize=32M/);
  });

  test('CTR-01: a JVM and its children run as vcap, filtered, and without capabilities', async () => {
    assertConfined(await platform.answer('java-probe', '/status'));
    assertConfined(await platform.answer('java-probe', '/child'));
  });

  test('BPK-02: the JVM knows its limit, and its heap leaves room for everything else', async () => {
    const { total, heap } = JSON.parse(await platform.answer('java-probe', '/memory')) as {
      total: number;
      heap: number;
    };
    assert.equal(total, 256 * MEBIBYTE);
    assert.ok(heap > 64 * MEBIBYTE && heap < 128 * MEBIBYTE, `${heap} bytes of heap`);
  });

  test('IID-08: every TLS connection of a JVM trusts the authority of the platform', async () => {
    const {
      platform: count,
      trusted,
      all,
    } = JSON.parse(await platform.answer('java-probe', '/trust')) as {
      platform: number;
      trusted: boolean;
      all: number;
    };
    assert.ok(count > 0 && trusted, `${count} certificates of the platform, trusted: ${trusted}`);
    assert.ok(all > 50, `${all} authorities in all`);
  });

  test('CTR-05: a JVM that allocates beyond its limit crashes with a reason', async () => {
    await platform.ask('java-probe', '/allocate').catch(() => null); // no answer comes back
    await eventually('the crash in the events', async () =>
      /audit\.app\.process\.crash/.test(await cf('events', 'java-probe')),
    );
    assert.ok((await platform.answer('java-probe')).startsWith('ok'), 'it came back');
    assert.match(await recentLogs('java-probe'), /Terminating due to java\.lang\.OutOfMemoryError: Java heap space/);
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

  function writeManifest(settings: { memory: string; env: Record<string, string> }): string {
    const file = join(work, 'manifest.yml');
    const application = { name: 'java-probe', disk_quota: '512M', ...settings };
    writeFileSync(file, JSON.stringify({ applications: [application] })); // JSON is YAML
    return file;
  }
});

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
  cpSync(PROBE, join(work, 'Probe.java'));
  await run(join(bin, 'javac'), ['-d', classes, join(work, 'Probe.java')], { timeoutMs: 120_000 });
  const jar = join(work, 'probe.jar');
  await run(join(bin, 'jar'), ['--create', '--file', jar, '--main-class', 'probe.Probe', '-C', classes, '.'], {
    timeoutMs: 60_000,
  });
  return jar;
}
