import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { GARDEN_SKIP } from '../support/garden.ts';
import { SystemStaging } from '../support/system-staging.ts';
import { zipOf } from '../support/zips.ts';

/* Packages that come with an app, for containers that reach no registry. */

let staging: SystemStaging;

before(async () => {
  if (!GARDEN_SKIP) staging = await SystemStaging.start('stv', '10.254.37.0/24');
});
after(() => staging?.stop());

/** A wheel with one module, as a package index would serve it. */
async function wheel(name: string, text: string): Promise<Buffer> {
  const info = `${name}-1.0.dist-info`;
  return zipOf([
    { path: `${name}.py`, body: `TEXT = ${JSON.stringify(text)}\n` },
    { path: `${info}/METADATA`, body: `Metadata-Version: 2.1\nName: ${name}\nVersion: 1.0\n` },
    { path: `${info}/WHEEL`, body: 'Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n' },
    { path: `${info}/RECORD`, body: `${name}.py,,\n${info}/METADATA,,\n${info}/WHEEL,,\n${info}/RECORD,,\n` },
  ]);
}

const SERVER_PY = `import http.server, os, socketserver, tiny
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(tiny.TEXT.encode())
socketserver.TCPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
`;

test('Python packages that came with the app are installed without network (BPK-02)', {
  skip: GARDEN_SKIP,
}, async () => {
  const result = await staging.stage('python', {
    'pyproject.toml': '[project]\nname = "app"\nversion = "1"\ndependencies = ["tiny==1.0"]\n',
    'vendor/tiny-1.0-py3-none-any.whl': await wheel('tiny', 'from a wheel'),
    'runtime.txt': 'python-3.11.x\n',
    Procfile: 'web: python server.py\n',
    'server.py': SERVER_PY,
  });
  assert.equal(await staging.page(result), 'from a wheel');
});

/** A gem with one file, as `gem build` makes it. */
function gem(directory: string): Buffer {
  mkdirSync(join(directory, 'lib'), { recursive: true });
  writeFileSync(join(directory, 'lib/tiny.rb'), "TINY = 'from a gem'\n");
  const specification = `--- !ruby/object:Gem::Specification
name: tiny
version: !ruby/object:Gem::Version
  version: 1.0.0
platform: ruby
authors:
- Cupola
bindir: bin
cert_chain: []
date: 2020-01-01 00:00:00.000000000 Z
dependencies: []
executables: []
extensions: []
extra_rdoc_files: []
files:
- lib/tiny.rb
licenses: []
metadata: {}
require_paths:
- lib
required_ruby_version: !ruby/object:Gem::Requirement
  requirements:
  - - ">="
    - !ruby/object:Gem::Version
      version: '0'
required_rubygems_version: !ruby/object:Gem::Requirement
  requirements:
  - - ">="
    - !ruby/object:Gem::Version
      version: '0'
rubygems_version: 3.3.15
specification_version: 4
summary: tiny
test_files: []
`;
  writeFileSync(join(directory, 'metadata.gz'), gzipSync(specification));
  execFileSync('tar', ['-C', directory, '-czf', join(directory, 'data.tar.gz'), 'lib/tiny.rb']);
  execFileSync('tar', ['-C', directory, '-cf', join(directory, 'tiny.gem'), 'metadata.gz', 'data.tar.gz']);
  return readFileSync(join(directory, 'tiny.gem'));
}

test('gems that came with the app are installed by Bundler without network, and again from the cache (BPK-02)', {
  skip: GARDEN_SKIP,
}, async () => {
  const directory = mkdtempSync(join(tmpdir(), 'gem-'));
  const files = {
    Gemfile: "source 'https://rubygems.org'\ngem 'tiny'\ngem 'webrick'\n",
    'Gemfile.lock': `GEM
  remote: https://rubygems.org/
  specs:
    tiny (1.0.0)
    webrick (1.8.1)

PLATFORMS
  ruby

DEPENDENCIES
  tiny
  webrick

BUNDLED WITH
   2.3.15
`,
    'vendor/cache/tiny-1.0.0.gem': gem(directory),
    Procfile: 'web: bundle exec ruby server.rb\n',
    'server.rb': `require 'tiny'
require 'webrick'
server = WEBrick::HTTPServer.new(Port: ENV['PORT'])
server.mount_proc('/') { |_, response| response.body = TINY }
server.start
`,
  };
  rmSync(directory, { recursive: true });
  const first = await staging.stage('ruby', files);
  assert.match(first.said, /Installing tiny 1\.0\.0/);
  const again = await staging.stage('ruby', files, { cache: first.cache! });
  assert.match(again.said, /using the gems of the build cache[\s\S]*Using tiny 1\.0\.0/);
  assert.equal(await staging.page(again), 'from a gem');
});
