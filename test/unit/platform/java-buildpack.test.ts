import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createRoot } from '../../../src/kit/pki.ts';

/** A space for a shell, and none for whoever splits words. */
const GAP = `$\{IFS}`;
const BUILDPACK = new URL('../../../buildpacks/java', import.meta.url).pathname;

let work: string;
before(() => {
  work = mkdtempSync(join(tmpdir(), 'java-buildpack-'));
});
after(() => rmSync(work, { recursive: true }));

interface Said {
  exitCode: number | null;
  stdout: string;
  stderr: string;
}

function bash(script: string, environment: Record<string, string> = {}): Said {
  const { status, stdout, stderr } = spawnSync('bash', ['-c', script], {
    env: { PATH: '/usr/bin:/bin', TMPDIR: work, ...environment },
    encoding: 'utf8',
  });
  return { exitCode: status, stdout, stderr };
}

describe('the memory of a JVM, laid out as Cloud Foundry does', () => {
  /** What start-java would start, with a "java" that prints its arguments, one a line. */
  function start(environment: Record<string, string>, classes = 14_859, threads = 250, headroom = 0): Said {
    const directory = join(work, 'started');
    mkdirSync(join(directory, 'bin'), { recursive: true });
    mkdirSync(join(directory, 'jre/bin'), { recursive: true });
    writeFileSync(join(directory, 'jre/bin/java'), '#!/bin/sh\nprintf "%s\\n" "$@"\n', { mode: 0o755 });
    writeFileSync(join(directory, 'bin/make-trust-store'), '#!/bin/sh\nexit 1\n', { mode: 0o755 });
    writeFileSync(
      join(directory, 'memory.env'),
      `JAVA_STACK_THREADS=${threads}\nJAVA_CLASS_COUNT=${classes}\nJAVA_HEADROOM=${headroom}\n`,
    );
    const start = join(BUILDPACK, 'launch/start-java');
    return bash(`exec "${start}" -jar app.jar`, {
      JAVA_DIRECTORY: directory,
      JAVA_HOME: join(directory, 'jre'),
      PORT: '8080',
      ...environment,
    });
  }
  const flag = (said: Said, name: string) =>
    said.stdout
      .split('\n')
      .find((line) => line.startsWith(name))
      ?.slice(name.length);

  test('heap is what metaspace, code cache, direct memory and stacks leave of the limit', () => {
    const said = start({ MEMORY_LIMIT: '1024m' });
    assert.equal(said.exitCode, 0, said.stderr);
    const metaspace = Math.floor((14_859 * 5800 + 14_000_000) / 1024);
    assert.equal(flag(said, '-XX:MaxMetaspaceSize='), `${metaspace}K`);
    assert.equal(flag(said, '-Xmx'), `${1024 * 1024 - metaspace - (240 + 10 + 250) * 1024}K`);
    assert.equal(flag(said, '-XX:+ExitOnOutOfMemoryError'), '');
    assert.match(said.stdout, /^JVM Memory Configuration: -Xmx\d+K -Xss1M -XX:ReservedCodeCacheSize=240M/);
    assert.match(said.stdout, /\n-jar\napp\.jar\n$/);
  });

  test('a region that JAVA_OPTS sets is taken as it is, and the heap follows', () => {
    const said = start({
      MEMORY_LIMIT: '512m',
      JAVA_OPTS: '-XX:ReservedCodeCacheSize=64M -Xss512k -XX:MaxMetaspaceSize=64m',
    });
    assert.equal(flag(said, '-Xmx'), `${512 * 1024 - (64 + 64 + 10 + 125) * 1024}K`);
  });

  test('headroom is kept free', () => {
    const [all, less] = [start({ MEMORY_LIMIT: '1g' }), start({ MEMORY_LIMIT: '1g' }, 14_859, 250, 10)];
    const heap = (said: Said) => Number.parseInt(flag(said, '-Xmx')!, 10);
    assert.equal(heap(all) - heap(less), Math.floor((1024 * 1024 * 10) / 100));
  });

  test('a limit that is too small, or a heap that is too large, is refused with the figures', () => {
    const small = start({ MEMORY_LIMIT: '256m' });
    assert.equal(small.exitCode, 1);
    assert.match(small.stderr, /Cannot calculate JVM memory configuration: .*more than the 262144K available/);
    const large = start({ MEMORY_LIMIT: '1g', JAVA_OPTS: '-Xmx900m' });
    assert.equal(large.exitCode, 1);
    assert.match(large.stderr, /900m heap/);
  });

  test('SECURITY: JAVA_OPTS are words with quotes, and nothing in them is run or expanded', () => {
    const planted = join(work, 'planted');
    const said = start({
      MEMORY_LIMIT: '1g',
      JAVA_OPTS: `-Da="two words" -Db=$(touch${GAP}${planted}) -Dc=x|* -Dd='$HOME' -De=\\;`,
    });
    const words = said.stdout.split('\n').filter((line) => line.startsWith('-D') && !line.startsWith('-Djava'));
    assert.deepEqual(words, ['-Da=two words', `-Db=$(touch${GAP}${planted})`, '-Dc=x|*', '-Dd=$HOME', '-De=;']);
    assert.throws(() => readFileSync(planted));
  });
});

test('IID-08: the trust store holds the certificates of the files, each once, in the form a JVM reads', async () => {
  const authorities = await Promise.all(
    ['one', 'two'].map((name) => createRoot(name, new Date(0), new Date('2100-01-01'))),
  );
  const pem = authorities.map(({ cert }) => cert).join('');
  writeFileSync(join(work, 'all.pem'), pem);
  writeFileSync(join(work, 'again.crt'), authorities[1]!.cert);
  const store = join(work, 'store.jks');
  const made = bash(
    `"${BUILDPACK}/launch/make-trust-store" "${store}" "${work}/all.pem" "${work}/again.crt" "${work}/absent"`,
  );
  assert.equal(made.exitCode, 0, made.stderr);
  const content = readFileSync(store);
  assert.equal(content.readUInt32BE(0), 0xfeedfeed);
  assert.equal(content.readUInt32BE(8), 2, 'two entries');
  for (const { cert } of authorities)
    assert.ok(content.includes(new X509Certificate(cert).raw), 'the certificate itself');
});

describe('what the Java buildpack makes of an app', () => {
  const ask = (script: string, environment: Record<string, string> = {}) =>
    bash(
      `set -euo pipefail; here="${BUILDPACK}"; . "$here/lib/java.sh"; . "$here/lib/settings.sh"; . "$here/lib/maven.sh"; ${script}`,
      environment,
    );
  function app(name: string, files: Record<string, string>): string {
    const directory = join(work, name);
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(join(directory, path, '..'), { recursive: true });
      writeFileSync(join(directory, path), content);
    }
    return directory;
  }

  test('BPK-01: a jar as the cf CLI unpacks it, a Maven project and a web archive are told apart, and anything else is not Java', () => {
    const kind = (directory: string) => ask(`kind_of "${directory}"`).stdout.trim();
    assert.equal(
      kind(app('jar', { 'META-INF/MANIFEST.MF': 'Manifest-Version: 1.0\r\nMain-Class: a.B\r\n' })),
      'exploded',
    );
    assert.equal(kind(app('library', { 'META-INF/MANIFEST.MF': 'Manifest-Version: 1.0\n' })), '');
    assert.equal(kind(app('project', { 'pom.xml': '<project/>' })), 'maven');
    assert.equal(kind(app('war', { 'WEB-INF/web.xml': '<x/>' })), 'war');
    assert.equal(kind(app('other', { 'index.html': '' })), '');
  });

  test('an attribute of a manifest that goes on in the next line is read whole', () => {
    const directory = app('long', {
      'META-INF/MANIFEST.MF':
        'Main-Class: org.example.a.very.long.name.of.a.package.that.does.not.fit.Int\r\n oOneLine\r\nX: y\r\n',
    });
    assert.equal(
      ask(`manifest_attribute Main-Class <"${directory}/META-INF/MANIFEST.MF"`).stdout.trim(),
      'org.example.a.very.long.name.of.a.package.that.does.not.fit.IntoOneLine',
    );
  });

  test('settings of JBP_CONFIG_* are read in the forms people write them in', () => {
    for (const text of [
      '{ jre: { version: 17.+ }, memory_calculator: { stack_threads: 25, headroom: 5 } }',
      '[jre: {version: 17.+}, memory_calculator: {stack_threads: 25, headroom: 5}]',
      '{"jre":{"version": "17.+"},"memory_calculator":{"stack_threads": 25,"headroom": "5"}}',
    ]) {
      const environment = { JBP_CONFIG_OPEN_JDK_JRE: text };
      assert.equal(ask('number_of stack_threads 250', environment).stdout.trim(), '25', text);
      assert.equal(ask('number_of headroom 0', environment).stdout.trim(), '5', text);
      assert.equal(ask('number_of class_count 7', environment).stdout.trim(), '7', text);
      assert.equal(ask('config_value JBP_CONFIG_OPEN_JDK_JRE version', environment).stdout.trim(), '17.+', text);
    }
    const wrong = ask('number_of stack_threads 1', {
      JBP_CONFIG_OPEN_JDK_JRE: '{ memory_calculator: { stack_threads: many } }',
    });
    assert.equal(wrong.exitCode, 1);
    assert.match(wrong.stderr, /stack_threads is not a whole number: many/);
  });

  test('a setting that changes nothing is not passed over in silence', () => {
    const said = ask('check_settings', {
      JBP_CONFIG_TOMCAT: '{}',
      JBP_CONFIG_OPEN_JDK_JRE: '{ jre: { version: 21.+ } }',
    });
    assert.match(said.stdout, /WARNING: JBP_CONFIG_TOMCAT is not known/);
    assert.match(said.stdout, /WARNING: JBP_CONFIG_OPEN_JDK_JRE asks for version 21\.\+/);
  });

  test('BPK-03: what was built is used again only where the same sources always give the same', () => {
    const reproducible = (name: string, files: Record<string, string>) => {
      const directory = app(name, files);
      return ask(`if is_reproducible "${directory}"; then echo yes; else echo no; fi`).stdout.trim();
    };
    const pom = (own: string, dependency: string) =>
      `<project>\n<version>${own}</version>\n<dependencies><dependency>\n<version>${dependency}</version>\n</dependency></dependencies>\n</project>`;
    assert.equal(reproducible('fixed', { 'pom.xml': pom('1.0', '2.0') }), 'yes');
    assert.equal(reproducible('own-snapshot', { 'pom.xml': pom('1.0-SNAPSHOT', '2.0') }), 'yes');
    assert.equal(reproducible('snapshot', { 'pom.xml': pom('1.0', '2.0-SNAPSHOT') }), 'no');
    assert.equal(reproducible('range', { 'pom.xml': pom('1.0', '[2.0,3.0)') }), 'no');
    assert.equal(reproducible('latest', { 'pom.xml': pom('1.0', 'LATEST') }), 'no');
    assert.equal(reproducible('modules', { 'pom.xml': pom('1.0', '2.0'), 'one/pom.xml': pom('1.0', '2.0') }), 'no');
  });

  test('Maven is told of mirrors and proxies, whatever their addresses hold', () => {
    const file = join(work, 'settings.xml');
    ask(`write_maven_settings "${file}"`, {
      MAVEN_MIRROR_URL: 'https://user:a&b@maven.example.org/<x>',
      https_proxy: 'http://proxy.example.org:3128',
      no_proxy: 'localhost,example.org',
    });
    const text = readFileSync(file, 'utf8');
    assert.match(
      text,
      /<mirrorOf>central<\/mirrorOf><url>https:\/\/user:a&amp;b@maven\.example\.org\/&lt;x&gt;<\/url>/,
    );
    assert.match(text, /<host>proxy\.example\.org<\/host><port>3128<\/port><nonProxyHosts>localhost\|example\.org</);
  });
});
