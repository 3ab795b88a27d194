import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import { GARDEN_SKIP } from '../support/garden.ts';
import { answerOf, PUBLIC_NETWORKS, registrySkip, type Staged } from '../support/staging.ts';
import { SystemStaging } from '../support/system-staging.ts';

/* What ordinary apps rely on, because Cloud Foundry's own buildpacks do it. */

const REGISTRY_SKIP = GARDEN_SKIP || (await registrySkip());
let staging: SystemStaging;

before(async () => {
  if (!GARDEN_SKIP) staging = await SystemStaging.start('stu', '10.254.36.0/24', { names: true });
});
after(() => staging?.stop());

/** A buildpack leaves its own name in the droplet, and the result passes it on. */
function assertOwnName({ result, droplet }: Staged, name: string): void {
  const { buildpacks, detected_buildpack } = result!.lifecycle_metadata;
  assert.equal(detected_buildpack, name);
  assert.deepEqual(
    buildpacks.map((one) => [one.name, one.own_name]),
    [[`${name}_buildpack`, name]],
  );
  const config = execFileSync('tar', ['-xzO', './deps/0/config.yml'], { input: droplet! }).toString();
  assert.match(config, new RegExp(`^name: ${name}$`, 'm'));
  assert.match(config, /^version: \d+\.\d+\.\d+$/m);
}

test('Ruby: programs of gems find the Ruby that RubyGems names, and a newer Bundler’s lock file is no error', {
  skip: GARDEN_SKIP,
}, async () => {
  const result = await staging.stage('ruby', {
    Gemfile: "source 'https://rubygems.org'\ngem 'webrick'\n",
    'Gemfile.lock':
      'GEM\n  remote: https://rubygems.org/\n  specs:\n    webrick (1.8.1)\n\nPLATFORMS\n  ruby\n\nDEPENDENCIES\n  webrick\n\nBUNDLED WITH\n   2.5.20\n',
    'serve.rb':
      "require 'webrick'\ns = WEBrick::HTTPServer.new(Port: ENV['PORT'])\ns.mount_proc('/') { |_, r| r.body = RUBY_VERSION }\ns.start\n",
    Procfile:
      'web: printf \'#!/usr/bin/env ruby3.1\\nload "serve.rb"\' >$TMPDIR/run; chmod +x $TMPDIR/run; bundle exec $TMPDIR/run\n',
  });
  assert.doesNotMatch(result.said, /error/i);
  assert.match(result.said, /written by Bundler 2\.5\.20/);
  assertOwnName(result, 'ruby');
  const version = /Installing ruby (\S+)/.exec(result.said)?.[1];
  assert.equal(await staging.page(result), version, 'the log names the Ruby that runs');
});

test('Go: a start command names a program without its directory, and GOVERSION may be "latest"', {
  skip: GARDEN_SKIP,
}, async () => {
  const result = await staging.stage(
    'go',
    {
      'go.mod': 'module example.org/test-app\n\ngo 1.20\n',
      'main.go':
        // Without package net, which takes long to compile.
        `package main
import "syscall"
func main() {
	listener, _ := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	syscall.Bind(listener, &syscall.SockaddrInet4{Port: 8080})
	syscall.Listen(listener, 8)
	for {
		connection, _, _ := syscall.Accept(listener)
		syscall.Read(connection, make([]byte, 4096))
		syscall.Write(connection, []byte("HTTP/1.0 200 OK\\r\\n\\r\\nfound"))
		syscall.Close(connection)
	}
}
`,
      Procfile: 'web: test-app\n',
    },
    { environment: { GOVERSION: 'latest' }, signal: AbortSignal.timeout(180_000) },
  );
  assert.match(result.said, /the latest go, which is 1\.\d+/);
  assertOwnName(result, 'go');
  assert.equal(await staging.page(result), 'found');
});

test('Staticfile: a directory is a site without a Staticfile where the buildpack is named', {
  skip: GARDEN_SKIP,
}, async () => {
  const result = await staging.stage('staticfile', { 'index.html': 'plain' });
  assertOwnName(result, 'staticfile');
  assert.equal(await staging.page(result), 'plain');
});

test('Staticfile: own error pages, included directives and strict transport security work; what is unknown is named', {
  skip: GARDEN_SKIP,
}, async () => {
  const result = await staging.stage('staticfile', {
    Staticfile: `root: public
location_include: includes/*.conf
http_strict_transport_security_preload: true
status_codes:
  404: /errors/404.html # lost
  5xx: "/errors/500.html"
enable_http2: true
`,
    'nginx/conf/includes/header.conf': 'add_header X-Own yes;\n',
    'public/index.html': 'index',
    'public/errors/404.html': 'own 404',
  });
  assert.match(result.said, /option enable_http2 in the Staticfile is not known/);
  assert.doesNotMatch(result.said, /option (root|status_codes|404)/);
  const container = await staging.launch(result, 'start-nginx');
  const index = await answerOf(container, '/');
  assert.equal(index.headers.get('x-own'), 'yes');
  assert.equal(index.headers.get('strict-transport-security'), 'max-age=31536000; includeSubDomains; preload');
  const missing = await answerOf(container, '/missing');
  assert.equal(missing.status, 404);
  assert.equal(await missing.text(), 'own 404');
  for (const wrong of ['location_include: ../../x', 'location_include: none.conf', 'status_codes:\n  404: /x; }']) {
    await staging.refusal('staticfile', { Staticfile: `root: public\n${wrong}\n`, 'public/index.html': '' });
  }
});

test('nginx: the shortest configuration does, and a variable may be set where the app runs alone', {
  skip: GARDEN_SKIP,
}, async () => {
  const result = await staging.stage('nginx', {
    'nginx.conf':
      'events {}\nhttp { server { listen {{port}}; location / { set $own {{env "ONLY_WHEN_RUNNING"}}; return 200 "<$own>"; } } }\n',
    'buildpack.yml': 'nginx:\n  version: mainline\n  plaintext_env_vars:\n    - A\n',
  });
  assertOwnName(result, 'nginx');
  assert.match(result.said, /ONLY_WHEN_RUNNING is not set while staging/);
  assert.match(result.said, /version in buildpack\.yml has no effect: there is 1\.\d+/);
  assert.match(result.said, /plaintext_env_vars in buildpack\.yml has no effect/);
  assert.equal(await staging.page(result, 'ONLY_WHEN_RUNNING=here start-nginx'), '<here>');
  const broken = 'events {}\nhttp { server { listen {{port}}; no_such {{env "UNSET"}}; } }\n';
  assert.match(await staging.refusal('nginx', { 'nginx.conf': broken }), /unknown directive "no_such"/);
  const logged = 'events {}\nhttp { include logs/*.conf; server { listen {{port}}; return 200 ok; } }\n';
  await staging.stage('nginx', { 'nginx.conf': logged, 'logs/off.conf': 'access_log off;\n' });
});

test('Python: setup.py alone is installed with the app, and found where the app runs', {
  skip: GARDEN_SKIP,
}, async () => {
  const result = await staging.stage('python', {
    'setup.py':
      'from setuptools import setup\nsetup(name="own", version="1", package_dir={"": "src"}, py_modules=["own"])\n',
    'src/own.py': 'TEXT = "by setup.py"\n',
    'serve.py':
      'import http.server, os, own\nclass H(http.server.BaseHTTPRequestHandler):\n  def do_GET(self):\n    self.send_response(200); self.end_headers(); self.wfile.write(own.TEXT.encode())\nhttp.server.HTTPServer(("", int(os.environ["PORT"])), H).serve_forever()\n',
    Procfile: 'web: python serve.py\n',
  });
  assertOwnName(result, 'python');
  assert.equal(await staging.page(result), 'by setup.py');
});

test('Python: another series than the one there is, is refused wherever the app asks for it', {
  skip: GARDEN_SKIP,
}, async () => {
  for (const [file, content] of [
    ['.python-version', '# for pyenv\n3.14\n'],
    ['runtime.txt', 'python-3.12.x\n'],
    ['Pipfile.lock', '{"_meta":{"requires":{"python_version":"3.12"}},"default":{}}'],
    ['pyproject.toml', '[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.12"\n'],
  ] as const) {
    const files = { [file]: content, ...(/Pipfile|pyproject/.test(file) ? {} : { 'requirements.txt': '' }) };
    const said = await staging.refusal('python', files);
    assert.match(said, /asks for \S+.*but this buildpack has Python 3\.11\.\d+/, said);
  }
  const near = await staging.stage('python', { '.python-version': '3.11.9\n', 'requirements.txt': '' });
  assert.match(near.said, /asks for 3\.11\.9; this buildpack has Python 3\.11/);
});

test('Python: lock files without effect are named', { skip: GARDEN_SKIP }, async () => {
  const files = { 'requirements.txt': '', 'Pipfile.lock': '{"default":{}}', 'poetry.lock': '', 'uv.lock': '' };
  const both = await staging.stage('python', { ...files, Procfile: 'web: true\n' });
  assert.match(both.said, /Pipfile\.lock is ignored: requirements\.txt goes before it/);
  for (const name of ['poetry.lock', 'uv.lock']) assert.ok(both.said.includes(`${name} is ignored: `), both.said);
  const { 'requirements.txt': _, ...locked } = files;
  const used = await staging.stage('python', { ...locked, Pipfile: '', Procfile: 'web: true\n' });
  assert.doesNotMatch(used.said, /Pipfile\.lock is ignored/);
});

const NODE_APP = {
  'package.json': '{"name":"o","dependencies":{"ms":"^2.0.0"}}',
  'server.js':
    'require("http").createServer((q, r) => r.end(require("ms/package.json").version)).listen(process.env.PORT)',
};

test('Node.js: the lock files of yarn and pnpm decide the versions', { skip: REGISTRY_SKIP }, async () => {
  const registry = { egressRules: PUBLIC_NETWORKS };
  const yarn = await staging.stage(
    'nodejs',
    {
      ...NODE_APP,
      'yarn.lock': `# yarn lockfile v1\n\n\nms@^2.0.0:\n  version "2.1.1"\n  resolved "https://${'registry.npm' + 'js.org'}/ms/-/ms-2.1.1.tgz#30a5864eb3ebb0a66f2ebe6d727af06a09d86e0a"\n`,
    },
    registry,
  );
  assert.match(yarn.said, /Installing node modules with yarn@1 \(yarn\.lock\)/);
  assert.equal(await staging.page(yarn), '2.1.1');
  const pnpm = await staging.stage(
    'nodejs',
    {
      ...NODE_APP,
      'pnpm-lock.yaml': `lockfileVersion: '9.0'
settings:
  autoInstallPeers: true
  excludeLinksFromLockfile: false
importers:
  .:
    dependencies:
      ms:
        specifier: ^2.0.0
        version: 2.1.1
packages:
  ms@2.1.1:
    resolution: {integrity: sha512-tgp+dl5cGk28utYktBsrFqA7HKgrhgPsg6Z/EfhWI4gl1Hwq8B/GmY/0oXZ6nF8hDVesS/FpnYaD/kOWhYQvyg==}
snapshots:
  ms@2.1.1: {}
`,
    },
    registry,
  );
  assert.equal(await staging.page(pnpm), '2.1.1', pnpm.said);
  const berry = await staging.stage('nodejs', { ...NODE_APP, 'yarn.lock': '__metadata:\n  version: 8\n' }, registry);
  assert.match(berry.said, /yarn\.lock is ignored: it is of Yarn 2 or later[\s\S]*npm resolves the packages anew/);
});

test('Node.js: of several lock files the one that is honoured is named, and why each other is ignored', {
  skip: GARDEN_SKIP,
}, async () => {
  const app = {
    'package.json': '{"name":"o","version":"1.0.0","dependencies":{"own":"file:own"}}',
    'own/package.json': '{"name":"own","version":"3.2.1"}',
    'server.js':
      'require("http").createServer((q, r) => r.end(require("own/package.json").version)).listen(process.env.PORT)',
  };
  const packageLock = JSON.stringify({
    ...{ name: 'o', version: '1.0.0', lockfileVersion: 3, requires: true },
    packages: {
      '': { name: 'o', version: '1.0.0', dependencies: { own: 'file:own' } },
      'node_modules/own': { resolved: 'own', link: true },
      own: { version: '3.2.1' },
    },
  });
  const offline = { environment: { NPM_CONFIG_REGISTRY: 'http://127.0.0.1:1', NPM_CONFIG_FETCH_RETRIES: '0' } };
  const yarnLock = '# yarn lockfile v1\n\n\n"own@file:own":\n  version "3.2.1"\n';
  const both = await staging.stage(
    'nodejs',
    { ...app, 'package-lock.json': packageLock, 'yarn.lock': yarnLock },
    offline,
  );
  assert.match(
    both.said,
    /yarn\.lock is ignored: yarn@1 could not be had\n.*Installing node modules \(package-lock\.json\)/,
  );
  assertOwnName(both, 'nodejs');
  assert.equal(await staging.page(both), '3.2.1');

  const named = await staging.stage('nodejs', {
    ...app,
    'npm-shrinkwrap.json': packageLock,
    'package-lock.json': packageLock,
    'yarn.lock': '__metadata:\n  version: 8\n',
    'pnpm-lock.yaml': "lockfileVersion: '5.4'\n",
  });
  for (const line of [
    'yarn.lock is ignored: it is of Yarn 2 or later, which this buildpack does not have',
    'pnpm-lock.yaml is ignored: it has the format 5, and there are 6 and 9',
    'package-lock.json is ignored: npm-shrinkwrap.json goes before it',
    'Installing node modules (npm-shrinkwrap.json)',
  ]) {
    assert.ok(named.said.includes(line), `${line}\n${named.said}`);
  }

  const none = await staging.stage('nodejs', { ...app, 'yarn.lock': yarnLock }, offline);
  assert.match(none.said, /yarn\.lock is ignored: yarn@1 could not be had\n.*npm resolves the packages anew/);
});

test('Node.js: another version than the buildpack brings comes from the registry, once', {
  skip: REGISTRY_SKIP,
}, async (t) => {
  const app = {
    'package.json':
      '{"name":"o","engines":{"node":"22.x"},"dependencies":{"ms":"2.1.3"},"scripts":{"heroku-postbuild":"node --version"}}',
    'server.js':
      'require("http").createServer((q, r) => r.end(process.version + require("ms")(1000))).listen(process.env.PORT)',
  };
  const network = { egressRules: PUBLIC_NETWORKS };
  const first = await staging.stage('nodejs', app, network);
  assert.match(first.said, /^v22\./m, 'heroku-postbuild ran with it');
  const second = await staging.stage('nodejs', app, { ...network, cache: first.cache! });
  t.diagnostic(`first ${Math.round(first.milliseconds)} ms, with cache ${Math.round(second.milliseconds)} ms`);
  assert.match(await staging.page(second), /^v22\..*1s$/);
});

test('Node.js: beside another buildpack it is supplied to an app without a package.json', {
  skip: GARDEN_SKIP,
}, async () => {
  const result = await staging.stage(staging.asked('nodejs', 'staticfile'), {
    'index.html': 'static',
    'say.js': 'console.log(process.version)',
  });
  assert.match(await staging.page(result, 'node say.js >index.html; start-nginx'), /^v/);
});

test('PHP: what has no effect is named, placeholders are filled in or refused, and no server means no server', {
  skip: GARDEN_SKIP,
}, async () => {
  const php = (options: string, more: Record<string, string> = {}) => ({
    'index.php': '<?php',
    '.bp-config/options.json': options,
    ...more,
  });
  const result = await staging.stage(
    'php',
    php('{"WEB_SERVER":"none","PHP_EXTENSIONS":["mbstring","redis"],"ADMIN_EMAIL":"x","COMPOSER_VERSION":"2"}', {
      'app.php': '<?php passthru("exec php -S 0.0.0.0:" . getenv("PORT") . " say.php");',
      'say.php': '<?php echo ini_get("sys_temp_dir"), " ", ini_get("auto_append_file");',
      '.bp-config/httpd/extra.conf': '',
      '.bp-config/php/php.ini.d/own.ini':
        'sys_temp_dir = @{TMPDIR}\nauto_append_file = @{HOME}/app/#{LIBDIR}/none\n; @{OTHER}\n',
      'lib/none': '',
    }),
  );
  assertOwnName(result, 'php');
  for (const name of ['ADMIN_EMAIL', 'COMPOSER_VERSION', '.bp-config/httpd']) {
    assert.ok(result.said.includes(`${name} `) && result.said.includes('has no effect'), `${name}: ${result.said}`);
  }
  assert.match(result.said, /extension redis is not there/);
  assert.doesNotMatch(result.said, /extension mbstring/);
  assert.equal(await staging.page(result), '/home/vcap/tmp /home/vcap/app/lib/none');
  assert.match(await staging.refusal('php', php('{"WEB_SERVER":"none"}')), /APP_START_CMD must say/);
  const unknown = php('{}', { '.bp-config/php/php.ini.d/own.ini': 'error_log = @{LOGS}/x\n' });
  assert.match(await staging.refusal('php', unknown), /own\.ini: @\{LOGS\} is not known/);
});

test('Binary: a buildpack that prepares nothing leaves its own name in the droplet like any other', {
  skip: GARDEN_SKIP,
}, async () => {
  assertOwnName(await staging.stage('binary', { 'a.txt': '' }), 'binary');
});
