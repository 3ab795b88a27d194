import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { run } from '../../../src/kit/process.ts';
import { assertConfined } from '../../support/confined.ts';
import { NO_OFFICIAL_CF, officialCf } from '../../support/official-cf.ts';
import { eventually, ROOT } from '../../support/platform.ts';
import { SharedPlatform } from '../../support/shared-platform.ts';

const CF = officialCf() ?? '';
const SKIP = process.getuid?.() !== 0 ? 'needs root' : CF === '' ? NO_OFFICIAL_CF : false;
const APPS = join(ROOT, 'test/e2e/apps');

describe('Go and Java apps on a whole platform', { skip: SKIP }, () => {
  const platform = new SharedPlatform(CF, 'compiled');
  const work = mkdtempSync('/tmp/cupola-e2e-compiled-');
  const cf = (...args: string[]) => platform.cf(CF, args, { timeoutMs: 10 * 60_000 });

  before(() => platform.enter());
  after(async () => {
    rmSync(work, { recursive: true, force: true });
    await platform.leave();
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
      assert.match(await platform.answer(name), expected);
      assert.match(await cf('app', name), new RegExp(`${buildpack}\\s+0\\.`));
      const staged = await recentLogs(name);
      const built = stagingSeconds(staged);

      const second = await push(...words);
      assert.match(await platform.answer(name), expected);
      const again = stagingSeconds(await recentLogs(name));
      t.diagnostic(`pushes took ${first.toFixed(1)} s and ${second.toFixed(1)} s; building ${built} s and ${again} s`);
      assert.ok(again <= built / 2, `building took ${built} s and ${again} s the second time`);
    });
  }

  test('BPK-02: vendored modules are built without a registry, each package named in GO_INSTALL_PACKAGE_SPEC', async () => {
    // A new version of the app from before: the standard library, which takes long to compile, is in its build cache.
    const manifest = join(work, 'manifest.yml');
    const application = {
      ...{ name: 'hello-go', memory: '64M', disk_quota: '512M', 'health-check-type': 'port' },
      env: { GO_INSTALL_PACKAGE_SPEC: './cmd/probe', GOPROXY: 'off' },
    };
    writeFileSync(manifest, JSON.stringify({ applications: [application] })); // JSON is YAML
    assert.match(await cf('push', '-f', manifest, '-p', join(APPS, 'go-probe')), /start command:\s+\.\/bin\/probe/);
    assert.equal((await platform.answer('hello-go')).trim(), 'ok');
  });

  test('CTR-01: a Go program and its children run as vcap, filtered, and without capabilities', async () => {
    const { own, child, failure } = JSON.parse(await platform.answer('hello-go', '/status')) as {
      own: string;
      child: string;
      failure: boolean;
    };
    assert.equal(failure, false);
    assertConfined(own);
    assertConfined(child);
    const { clone, unshare } = JSON.parse(await platform.answer('hello-go', '/unshare')) as {
      clone: string;
      unshare: string;
    };
    assert.match(clone, /operation not permitted|function not implemented/); // clone3 is told to be unknown
    assert.match(unshare, /operation not permitted/);
  });

  test('CTR-05: an app that allocates beyond its limit crashes with a reason, and its neighbour goes on', async () => {
    await platform.ask('hello-go', '/allocate').catch(() => null); // no answer comes back
    await eventually('the crash in the events', async () =>
      /audit\.app\.process\.crash/.test(await cf('events', 'hello-go')),
    );
    assert.match((await platform.answer('hello-java')).trim(), /hello-java/);
    assert.ok((await platform.answer('hello-go')).startsWith('ok'), 'it came back');
    assert.match(await recentLogs('hello-go'), /out of memory/i);
    assert.doesNotMatch(await cf('events', 'hello-java'), /crash/);
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
