import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { shownBuildpacks } from '../../../src/platform/system-buildpacks.ts';
import { NO_OFFICIAL_CF, officialCf } from '../../support/official-cf.ts';
import { eventually, ROOT } from '../../support/platform.ts';
import { SharedPlatform } from '../../support/shared-platform.ts';
import { unpackedBuildpacks } from '../../support/unpacked.ts';
import { zipOf } from '../../support/zips.ts';

const CF = officialCf() ?? '';
const SKIP = process.getuid?.() !== 0 ? 'needs root' : CF === '' ? NO_OFFICIAL_CF : false;

/** As a pattern: what the buildpack of the project says of itself. */
function versionOf(buildpack: string): string {
  const file = join(ROOT, 'buildpacks', buildpack.replace('_buildpack', ''), 'VERSION');
  return readFileSync(file, 'utf8').trim().replaceAll('.', '\\.');
}

describe('runtimes and buildpacks, used with the official cf', { skip: SKIP }, () => {
  const platform = new SharedPlatform(CF, 'scripting');
  const cf = (...args: string[]) => platform.cf(CF, args);

  before(() => platform.enter());
  after(() => platform.leave());

  /** A directory below the test's own, with these files. */
  function directoryOf(name: string, files: Record<string, string>): string {
    const directory = join(platform.home, name);
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(join(directory, path, '..'), { recursive: true });
      writeFileSync(join(directory, path), content, { mode: path.startsWith('bin/') ? 0o755 : 0o644 });
    }
    return directory;
  }

  const answerOf = (name: string, path = '/') =>
    eventually(`${name} answers`, async () => {
      const got = await platform.ask(name, path);
      return got.status === 200 && got.body;
    });

  test("BPK-01: the system buildpacks stand in Cloud Foundry's detection order", async () => {
    const names = [...(await cf('buildpacks')).matchAll(/^\d+\s+(\w+)_buildpack/gm)].map(([, name]) => name);
    const order = ['staticfile', 'java', 'ruby', 'nodejs', 'go', 'python', 'php', 'nginx', 'binary'];
    assert.deepEqual(
      names,
      order.filter((name) => names.includes(name)),
    );
    for (const name of ['ruby', 'python', 'php', 'nginx']) assert.ok(names.includes(name), name);
  });

  test('they lie on the disk once, root’s, though control has them among its blobs', () => {
    const blobs = join(platform.layout.settings.dataDirectory, 'control/blobs/buildpacks');
    const found = readdirSync(blobs, { recursive: true, encoding: 'utf8' }).map((name) => statSync(join(blobs, name)));
    for (const { name, file } of shownBuildpacks(platform.layout)) {
      const { ino } = statSync(file);
      const kept = found.find((one) => one.ino === ino);
      assert.deepEqual([kept?.uid, (kept?.mode ?? 0) & 0o777], [0, 0o644], name);
    }
  });

  test('a cell unpacks all of them before anyone pushes', async () => {
    const all = shownBuildpacks(platform.layout).map(({ name }) => name);
    await eventually('all are unpacked', async () => unpackedBuildpacks(platform, 'cell-0').length === all.length);
    assert.deepEqual(unpackedBuildpacks(platform, 'cell-0').sort(), all.sort());
  });

  const examples = [
    { name: 'static-site', buildpack: 'staticfile_buildpack', path: '/', expected: '<h1>Hello from Cupola</h1>' },
    { name: 'hello-nginx', buildpack: 'nginx_buildpack', path: '/instance', expected: '"hello":"hello-nginx"' },
    { name: 'hello-python', buildpack: 'python_buildpack', path: '/', expected: '"hello":"hello-python"' },
    { name: 'hello-ruby', buildpack: 'ruby_buildpack', path: '/', expected: '"hello":"hello-ruby"' },
    { name: 'hello-php', buildpack: 'php_buildpack', path: '/', expected: '"hello":"hello-php"' },
  ];
  for (const { name, buildpack, path, expected } of examples) {
    test(`BPK-01, BPK-02, BPK-06: ${name} is detected by ${buildpack}, staged and served`, async () => {
      const directory = join(ROOT, 'examples', name);
      const said = await cf('push', '-f', join(directory, 'manifest.yml'), '-p', directory);
      assert.match(said, /#0\s+running/);
      assert.match(said, new RegExp(`^\\s+${buildpack}\\s+${versionOf(buildpack)}\\s`, 'm'));
      assert.ok((await answerOf(name, path)).includes(expected));
    });
  }

  for (const name of ['hello-python', 'hello-ruby', 'hello-php']) {
    test(`CTR-01, CTR-05: ${name} and what it starts by exec are confined alike`, async () => {
      const report = JSON.parse(await answerOf(name, '/confinement'));
      const confined = { Uid: '2000', Seccomp: '2', NoNewPrivs: '1', CapEff: '0000000000000000' };
      assert.deepEqual(report.own, confined);
      assert.deepEqual(report.child, confined);
      assert.notEqual(report.unshare, 0, 'no process of it makes a namespace');
      assert.equal(report.memory_limit, '128m');
    });
  }

  test('what a Python app reads, sorts and prints is in the locale of Cloud Foundry, in a task too', async () => {
    const program =
      'import locale, sys; locale.setlocale(locale.LC_ALL, ""); print("it is", locale.getlocale(), sys.stdout.encoding)';
    const command = `python3 -c '${program}'`;
    const expected = "it is ('en_US', 'UTF-8') utf-8";
    assert.equal((await cf('ssh', 'hello-python', '-c', command)).trim(), expected);
    await cf('run-task', 'hello-python', '--command', command, '--name', 'locale', '--wait');
    await eventually('the line', async () => (await cf('logs', 'hello-python', '--recent')).includes(expected));
  });

  test('BPK-03: with its build cache, a Python app is staged at least twice as fast', async (t) => {
    const name = 'hello-python';
    const guid = (await cf('app', name, '--guid')).trim();
    const [packageGuid] = (await cf('packages', name)).match(/[0-9a-f-]{36}/) ?? [];
    assert.ok(packageGuid);
    const token = (await cf('oauth-token')).trim().replace(/^bearer /i, '');
    const ask = async (path: string, sent?: object) => {
      const said = await platform.request('api', { path, token, ...(sent && { body: JSON.stringify(sent) }) });
      assert.ok(said.status < 300, said.body);
      return said;
    };
    const stage = async () => {
      // Not by `cf stage-package`, which looks every three seconds.
      const began = performance.now();
      const build = JSON.parse((await ask('/v3/builds', { package: { guid: packageGuid } })).body) as { guid: string };
      for (;;) {
        const { state } = JSON.parse((await ask(`/v3/builds/${build.guid}`)).body) as { state: string };
        if (state === 'STAGED') return performance.now() - began;
        assert.equal(state, 'STAGING');
        await new Promise((wake) => setTimeout(wake, 100));
      }
    };
    const round = async (): Promise<[cold: number, warm: number]> => {
      await cf('curl', '--fail', '-X', 'POST', `/v3/apps/${guid}/actions/clear_buildpack_cache`);
      await new Promise((wake) => setTimeout(wake, 1500)); // the job
      return [await stage(), await stage()];
    };
    let [first, second] = await round();
    if (first < 2 * second) [first, second] = await round(); // something else took the processor
    t.diagnostic(`${Math.round(first)} ms without the cache, ${Math.round(second)} ms with it`);
    assert.ok(first >= 2 * second, `${first} ms, then ${second} ms`);
  });

  test('several buildpacks: the first supplies, the last finalizes, and each has its own index', async () => {
    const directory = directoryOf('multi', {
      'requirements.txt': '',
      'package.json': '{"name":"multi"}',
      Procfile: 'web: python3 server.py\n',
      'server.py': `import http.server, json, os, shutil, subprocess
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        said = {"node": subprocess.check_output(["node", "--version"], text=True).strip(), "deps": sorted(os.listdir("/home/vcap/deps")),
                "paths": [shutil.which("node"), shutil.which("python3")]}
        self.send_response(200); self.end_headers(); self.wfile.write(json.dumps(said).encode())
http.server.HTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
`,
    });
    const said = await cf(
      'push',
      'multi',
      '-p',
      directory,
      '-m',
      '128M',
      '-b',
      'nodejs_buildpack',
      '-b',
      'python_buildpack',
    );
    const [node, python] = ['nodejs_buildpack', 'python_buildpack'].map((name) => `${name}\\s+${versionOf(name)}\\s`);
    assert.match(said, new RegExp(`${node}[\\s\\S]*${python}`));
    const report = JSON.parse(await answerOf('multi'));
    assert.match(report.node, /^v26/);
    assert.deepEqual(
      report.deps.filter((name: string) => /^\d+$/.test(name)),
      ['0', '1'],
    );
    assert.deepEqual(report.paths, ['/home/vcap/deps/0/bin/node', '/home/vcap/deps/1/bin/python3']);
  });

  const buildpackFiles = (version: string) => ({
    VERSION: version,
    'manifest.yml': 'language: greeting\nstack: debian12\n',
    'bin/detect': '#!/bin/bash\n[ -f "$1/greeting.txt" ] && echo greeting\n',
    'bin/supply': `#!/bin/bash\nmkdir -p "$3/$4/bin"\nprintf '#!/bin/bash\\nwhile :; do echo "greeting ${version}"; sleep 1; done\\n' >"$3/$4/bin/greet"\nchmod 755 "$3/$4/bin/greet"\n`,
    'bin/finalize': '#!/bin/bash\nexit 0\n',
    'bin/release': "#!/bin/bash\nprintf -- '---\\ndefault_process_types:\\n  web: greet\\n'\n",
  });
  const greets = (version: string) =>
    eventually(`greeting ${version}`, async () =>
      (await cf('logs', 'greeter', '--recent')).includes(`OUT greeting ${version}`),
    );

  test('BPK-05: an operator brings a buildpack as a directory, and apps are detected by it', async () => {
    await cf('create-buildpack', 'greeting_buildpack', directoryOf('greeting', buildpackFiles('1.0')), '1');
    assert.match(await cf('buildpacks'), /^1\s+greeting_buildpack\s+debian12\s+true\s+false\s+READY/m);
    const app = directoryOf('greeter', { 'greeting.txt': 'hello\n', 'requirements.txt': '' });
    await cf('push', 'greeter', '-p', app, '-m', '32M', '-u', 'process', '--no-route');
    await greets('1.0');
  });

  test('BPK-04, CC-07: a restage picks up the new version, fetched by the cf CLI from an address', async () => {
    const files = Object.entries(buildpackFiles('2.0')).map(([path, body]) => ({ path, body, mode: 0o100755 }));
    const zip = await zipOf(files);
    const server = createServer((_request, response) => response.end(zip)).listen(0, '127.0.0.1');
    try {
      await new Promise((ready) => server.once('listening', ready));
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/greeting_buildpack.zip`;
      await cf('update-buildpack', 'greeting_buildpack', '-p', url);
    } finally {
      server.close();
    }
    await cf('restage', 'greeter');
    await greets('2.0');
    assert.match(await cf('app', 'greeter'), /greeting_buildpack\s+2\.0/);
  });

  test('BPK-05: position, disable, lock, rename and delete do what they say', async () => {
    await cf('update-buildpack', 'greeting_buildpack', '--position', '3', '--disable');
    assert.match(await cf('buildpacks'), /^3\s+greeting_buildpack\s+debian12\s+false/m);
    const named = await platform.tryCf(CF, [
      'push',
      'greeter',
      '-p',
      join(platform.home, 'greeter'),
      '-b',
      'greeting_buildpack',
    ]);
    assert.equal(named.exitCode, 1, 'a disabled buildpack stages nothing');
    assert.match(named.stdout + named.stderr, /Buildpack "greeting_buildpack" is not available for stack/);
    await cf('update-buildpack', 'greeting_buildpack', '--enable', '--lock');
    const locked = await platform.tryCf(CF, [
      'update-buildpack',
      'greeting_buildpack',
      '-p',
      join(platform.home, 'greeting'),
    ]);
    assert.equal(locked.exitCode, 1);
    assert.match(locked.stdout + locked.stderr, /locked/i);
    await cf('update-buildpack', 'greeting_buildpack', '--unlock', '--rename', 'hello_buildpack');
    assert.match(await cf('buildpacks'), /^3\s+hello_buildpack\s+debian12\s+true\s+false\s+READY/m);
    await cf('create-buildpack', 'free_buildpack', join(platform.home, 'greeting'), '9', '--disable');
    const other = await platform.tryCf(CF, ['update-buildpack', 'free_buildpack', '--assign-stack', 'cflinuxfs4']);
    assert.equal(other.exitCode, 1, 'a buildpack stays with its stack');
    assert.match(other.stdout + other.stderr, /Buildpack stack cannot be changed/);
    for (const name of ['hello_buildpack', 'free_buildpack']) await cf('delete-buildpack', name, '-f');
    assert.doesNotMatch(await cf('buildpacks'), /hello_buildpack|free_buildpack/);
  });

  test('LOG-01: cf push prints the last lines of each staging, the reason of one that fails too', async (t) => {
    const files = buildpackFiles('3.0');
    files['bin/finalize'] =
      '#!/bin/bash\n[ -f "$1/reason.txt" ] || { echo "the last word"; exit 0; }\necho "because of $(cat "$1/reason.txt")" >&2\nexit 1\n';
    await cf('create-buildpack', 'greeting_buildpack', directoryOf('reasons', files), '1');
    const push = async (reason: string) => {
      const app = directoryOf('reasoner', { 'greeting.txt': 'hello\n', ...(reason ? { 'reason.txt': reason } : {}) });
      const began = performance.now();
      const args = ['push', 'reasoner', '-p', app, '-m', '32M', '-u', 'process', '--no-route'];
      const ended = await platform.tryCf(CF, args);
      t.diagnostic(`${reason || 'a good one'}: ${Math.round(performance.now() - began)} ms`);
      return ended;
    };
    const good = await push('');
    assert.equal(good.exitCode, 0, good.stderr);
    for (const line of [/the last word/, /Uploading complete/, /successfully destroyed container/])
      assert.match(good.stdout, line);
    for (let n = 1; n <= 6; n += 1) {
      const failed = await push(`reason ${n}`);
      assert.notEqual(failed.exitCode, 0);
      assert.ok(failed.stdout.includes(`because of reason ${n}`), failed.stdout + failed.stderr);
      assert.match(failed.stdout, /successfully destroyed container/);
    }
    await cf('delete', 'reasoner', '-f');
    await cf('delete-buildpack', 'greeting_buildpack', '-f');
  });

  test('SECURITY 24: a hostile zip is refused at the upload', async () => {
    const file = join(platform.home, 'evil_buildpack.zip');
    writeFileSync(file, await zipOf([{ path: '../../../etc/cron.d/evil', body: '* * * * * root id' }]));
    const made = await platform.tryCf(CF, ['create-buildpack', 'evil_buildpack', file, '1']);
    assert.notEqual(made.exitCode, 0, 'it is not taken');
    assert.match(made.stdout + made.stderr, /'\.\.\/\.\.\/\.\.\/etc\/cron\.d\/evil' leaves the archive/);
    assert.doesNotMatch(await cf('buildpacks'), /^\d+\s+evil_buildpack.*READY/m);
    await platform.tryCf(CF, ['delete-buildpack', 'evil_buildpack', '-f']);
  });

  test('a git address is answered with what to do instead', async () => {
    const address = 'https://github.com/cloudfoundry/python-buildpack.git';
    const said = await platform.tryCf(CF, ['push', 'greeter', '-p', join(platform.home, 'greeter'), '-b', address]);
    assert.notEqual(said.exitCode, 0);
    assert.match(said.stdout + said.stderr, /git repositories are not cloned/);
  });
});
