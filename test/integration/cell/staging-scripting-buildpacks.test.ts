import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { BuildpackSchema, EgressRuleSchema } from '../../../src/contracts/gen/diego_pb.js';
import { GARDEN_SKIP } from '../../support/garden.ts';
import { startOutside } from '../../support/outside.ts';
import { answerOf, EXAMPLES, packageOf } from '../../support/staging.ts';
import { SystemStaging } from '../../support/system-staging.ts';
import { zipOf } from '../../support/zips.ts';

let staging: SystemStaging;

before(async () => {
  if (GARDEN_SKIP) return;
  staging = await SystemStaging.start('stc', '10.254.34.0/24', {
    network: { range: '10.254.34.0/24', gateway: '169.254.34.1', mtu: 1450 },
  });
});
after(() => staging?.stop());

test('what the Python buildpack cannot do is answered with what to do instead', { skip: GARDEN_SKIP }, async () => {
  const old = await staging.refusal('python', { 'requirements.txt': '', 'runtime.txt': 'python-2.7.18\n' });
  assert.match(old, /runtime\.txt asks for python-2\.7\.18, but this buildpack has Python 3\.11\.\d+: python-3\.11\.x/);
  assert.match(await staging.refusal('python', { Pipfile: '' }), /pipenv lock/);
  assert.match(await staging.refusal('python', { 'pyproject.toml': '[tool.x]\n' }), /export the requirements/);
});

test('another Ruby than the one there is is answered before Bundler would', { skip: GARDEN_SKIP }, async () => {
  const said = await staging.refusal('ruby', { Gemfile: "source 'https://rubygems.org'\nruby '2.7.0'\n" });
  assert.match(said, /the Gemfile asks for Ruby 2\.7\.0, but this buildpack has Ruby 3\.1\.\d+/);
});

test('options of a PHP app that lead elsewhere are refused', { skip: GARDEN_SKIP }, async () => {
  const option = (text: string) => staging.refusal('php', { 'index.php': '', '.bp-config/options.json': text });
  assert.match(await option('{"WEBDIR":"../../etc"}'), /not a plain path/);
  assert.match(await option('{"WEBDIR":"x; } server { root /"}'), /not a plain path/);
  assert.match(await option('{"PHP_VERSION":"7.4.x"}'), /this buildpack has PHP 8\.2\.\d+/);
  assert.match(await option('[1'), /not a JSON object/);
});

test('a PHP app without web directory becomes one, and what is not content is not served', {
  skip: GARDEN_SKIP,
}, async () => {
  const result = await staging.stage('php', {
    'index.php':
      '<?php echo "PHP ", extension_loaded("mbstring") ? "with" : "without", " mbstring ", ini_get("memory_limit");',
    'style.css': 'body {}',
    'lib/secret.php': '<?php echo "secret";',
    '.bp-config/options.json': '{"PHP_VERSION":"8.2.x","WEB_SERVER":"httpd"}',
    '.bp-config/php/php.ini.d/limit.ini': 'memory_limit = 77M\n',
  });
  assert.match(result.said, /nginx serves instead/);
  const container = await staging.launch(result);
  assert.equal(await (await answerOf(container, '/')).text(), 'PHP with mbstring 77M');
  assert.equal((await answerOf(container, '/style.css')).headers.get('content-type'), 'text/css');
  assert.equal((await answerOf(container, '/lib/secret.php')).status, 404);
  assert.equal((await answerOf(container, '/.bp-config/options.json')).status, 404);
});

test('an nginx.conf is filled in, and refused where it could not start', { skip: GARDEN_SKIP }, async () => {
  const conf = (server: string, top = '') =>
    `${top}\nevents {}\nhttp {\n  access_log /dev/stdout;\n  server { ${server} }\n}\n`;
  assert.match(await staging.refusal('nginx', { 'nginx.conf': conf('listen 8080;') }), /must listen on \{\{port\}\}/);
  assert.match(
    await staging.refusal('nginx', { 'nginx.conf': conf('listen {{port}}; no_such;') }),
    /unknown directive "no_such"[\s\S]*not valid/,
  );
  assert.match(
    await staging.refusal('nginx', { 'nginx.conf': conf('listen {{port}}; # {{range}}') }),
    /\{\{range\}\} is not known/,
  );
  const result = await staging.stage('nginx', {
    'nginx.conf': conf(
      'listen {{port}}; include conf.d/*.conf;',
      '{{module "ngx_stream_module"}}\nuser root;\ndaemon on;',
    ),
    'conf.d/answer.conf': 'location / { return 200 "{{env "MEMORY_LIMIT"}} {{nameservers}}"; }\n',
  });
  assert.match(await staging.page(result), /^256m [0-9.]+$/);
});

test('SECURITY 28, 24, 31: a buildpack by address is fetched by the container itself, through its rules alone, and no query is shown', {
  skip: GARDEN_SKIP,
}, async () => {
  const directory = mkdtempSync(join(tmpdir(), 'custom-'));
  const body = (text: string) => ({ body: `#!/bin/bash\n${text}\n`, mode: 0o100755 });
  // As hosts of repositories pack them: everything in one directory.
  const zip = await zipOf([
    { path: 'own-main/VERSION', body: '7.0' },
    { path: 'own-main/bin/detect', ...body('exit 1') },
    { path: 'own-main/bin/supply', ...body('id -u; command -v ruby; mkdir -p "$3/$4/bin"') },
    { path: 'own-main/bin/finalize', ...body('exit 0') },
    { path: 'own-main/bin/release', ...body("printf -- '---\\ndefault_process_types:\\n  web: own\\n'") },
  ]);
  writeFileSync(join(directory, 'own.zip'), zip);
  writeFileSync(join(directory, 'evil.zip'), await zipOf([{ path: '../lifecycle/builder', ...body('exit 0') }]));
  const outside = await startOutside('ownout', '10.254.35.1', '10.254.35.2', []);
  const script = `const http = require('node:http'), fs = require('node:fs');
    http.createServer((request, response) => {
      if (request.url === '/away.zip') return response.writeHead(302, { location: 'file:///etc/passwd' }).end();
      try { response.end(fs.readFileSync(process.argv[1] + request.url.split('?')[0])); } catch { response.writeHead(404).end(); }
    }).listen(8080, () => console.log('ready'));`;
  const server = spawn('ip', ['netns', 'exec', 'ownout', process.execPath, '-e', script, directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    await new Promise((ready) => server.stdout.once('data', ready));
    const custom = (path: string) => {
      const name = `http://${outside.address}:8080${path}`;
      return create(BuildpackSchema, { name, key: name, skipDetect: true });
    };
    const allowed = {
      egressRules: [create(EgressRuleSchema, { protocol: 'tcp', destination: outside.address, ports: '8080' })],
    };
    const files = { 'hello.txt': 'x' };

    const good = await staging.stage(
      [...staging.asked('ruby'), custom('/own.zip?token=planted-secret')],
      files,
      allowed,
    );
    assert.deepEqual(good.result?.process_types, { web: 'own' });
    assert.deepEqual(
      good.result?.lifecycle_metadata.buildpacks.map(({ version }) => version),
      ['0.2.0', '7.0'],
    );
    assert.ok(good.lines.some((line) => line.endsWith('/own.zip')));
    assert.doesNotMatch(good.said, /planted/, 'no query in the log');
    assert.ok(good.lines.includes('2000'), 'as vcap');
    assert.ok(good.lines.includes('/home/vcap/deps/0/bin/ruby'), 'it finds what the one before it supplied');

    const forbidden = await staging.try([custom('/own.zip')], files);
    assert.match(forbidden.failureReason, /^BuildpackCompileFailed/);
    for (const path of ['/away.zip', '/missing.zip', '/evil.zip']) {
      const bad = await staging.try([custom(path)], files, allowed);
      assert.match(bad.failureReason, /^BuildpackCompileFailed/, `${path}: ${bad.said}`);
      assert.doesNotMatch(bad.said, /root:x:0/);
    }
    for (const path of ['/own.zip\nmax-time = 1', '/own.zip"', '/own\\.zip']) {
      const setting = await staging.try([custom(path)], files, allowed);
      assert.match(setting.failureReason, /^BuildpackCompileFailed/, path);
      assert.match(setting.said, /address of the buildpack holds a forbidden character/, path);
    }
  } finally {
    server.kill('SIGKILL');
    await outside.stop();
    rmSync(directory, { recursive: true });
  }
});

test('a droplet holds only the runtime of its language (BPK-06)', { skip: GARDEN_SKIP }, async () => {
  const result = await staging.stage('ruby', await packageOf(`${EXAMPLES}/hello-ruby`));
  const names = execFileSync('tar', ['-tz'], { input: result.droplet!, maxBuffer: 64 * 1024 ** 2 }).toString();
  assert.match(names, /^\.\/deps\/\.prepacked\/ruby-3\.1\.\d+\/bin\/ruby3\.1$/m);
  assert.doesNotMatch(names, /\/(python|php|node|nginx|composer)[^/]*\/(bin|sbin)\//);
  assert.doesNotMatch(names, /\/share\/(doc|man)\//);
});
