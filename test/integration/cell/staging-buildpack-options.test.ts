import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Buildpack } from '../../../src/contracts/gen/diego_pb.js';
import { zip } from '../../support/archives.ts';
import { TestBlobs, testBuildpacks } from '../../support/buildpacks.ts';
import { GARDEN_SKIP, startTestGarden, type TestGarden } from '../../support/garden.ts';
import {
  answerOf,
  launch,
  type NameServer,
  PUBLIC_NETWORKS,
  registrySkip,
  stage,
  startNameServer,
} from '../../support/staging.ts';

/* What an app may ask of the system buildpacks. */

const REGISTRY_SKIP = GARDEN_SKIP || (await registrySkip());
let garden: TestGarden;
let names: NameServer;
const blobs = new TestBlobs();
const system: Buildpack[] = [];

before(async () => {
  if (GARDEN_SKIP) return;
  garden = await startTestGarden('sto', '10.254.32.0/24');
  names = await startNameServer('169.254.1.1');
  for (const { name, file, sha256 } of await testBuildpacks()) {
    system.push(blobs.buildpack(name, sha256, { file }, sha256));
  }
});
after(async () => {
  await names?.stop();
  await garden?.stop();
});

function app(files: Record<string, string>): Buffer {
  return zip(Object.entries(files).map(([name, content]) => ({ name, content })));
}

test('a static site may ask for client-side routes, a password, listings and HTTPS', {
  skip: GARDEN_SKIP,
}, async () => {
  const source = app({
    Staticfile: 'root: "site dir"\npushstate: enabled\ndirectory: visible # listing\nssi: enabled\nforce_https: true\n',
    // openssl passwd -apr1 -salt cupola open-sesame
    'Staticfile.auth': 'me:$apr1$cupola$v3fnkJcJtEJflUHaZdRE91\n',
    'site dir/index.html': 'index <!--#echo var="document_uri" -->',
    'site dir/.well-known': 'dotted',
  });
  const staged = await stage(garden, blobs, { source, buildpacks: system });
  assert.equal(staged.failureReason, '', staged.lines.join('\n'));
  const container = await launch(garden, staged.droplet!, 'start-nginx');
  const ask = (path: string, headers: Record<string, string>) =>
    answerOf(container, path, { headers, redirect: 'manual' });
  const authorization = `Basic ${Buffer.from('me:open-sesame').toString('base64')}`;
  const secure = { 'x-forwarded-proto': 'https' };
  assert.equal((await ask('/some/route', secure)).status, 401);
  const page = await ask('/some/route', { ...secure, authorization });
  assert.equal(await page.text(), 'index /index.html');
  assert.equal((await ask('/.well-known', { ...secure, authorization })).status, 404);
  const redirected = await ask('/a?b=c', { authorization, host: 'site.example.org' });
  assert.equal(redirected.status, 301);
  assert.match(redirected.headers.get('location') ?? '', /^https:\/\/.*\/a\?b=c$/);
});

test('a root that leads out of the site, or into the configuration, is refused', { skip: GARDEN_SKIP }, async () => {
  for (const root of ['../../etc', 'a/../../b', 'x"; } location / { root /etc', 'missing', '$document_root']) {
    const source = app({ Staticfile: `root: ${root}\n`, 'index.html': 'x', 'a/b/c': 'x' });
    const staged = await stage(garden, blobs, { source, buildpacks: system });
    assert.match(staged.failureReason, /^BuildpackCompileFailed: /, root);
  }
});

test('a package.json that cannot be, fails with what is wrong', { skip: GARDEN_SKIP }, async () => {
  for (const [content, words] of [
    ['{', 'could not be read'],
    ['[]', 'not an object'],
    ['{"engines":{"node":"$(touch /tmp/x)"}}', 'not a version range'],
  ] as const) {
    const staged = await stage(garden, blobs, { source: app({ 'package.json': content }), buildpacks: system });
    assert.match(staged.failureReason, /^BuildpackCompileFailed: /);
    assert.ok(
      staged.lines.some((line) => line.includes(words)),
      staged.lines.join('\n'),
    );
  }
});

test('packages that were pushed with the app are used, without a network', { skip: GARDEN_SKIP }, async () => {
  const source = app({
    'package.json': '{"name":"v","dependencies":{"mine":"1.0.0"},"scripts":{"start":"node server.js; true"}}',
    'node_modules/mine/package.json': '{"name":"mine","version":"1.0.0"}',
    'node_modules/mine/index.js': 'module.exports = "vendored"',
    'server.js':
      'require("http").createServer((q, r) => r.end(require("mine") + process.env.NODE_ENV)).listen(process.env.PORT)',
  });
  const staged = await stage(garden, blobs, { source, buildpacks: system });
  assert.equal(staged.failureReason, '', staged.lines.join('\n'));
  assert.equal(staged.result?.process_types['web'], 'npm start', 'more than one plain program');
  const container = await launch(garden, staged.droplet!, 'npm start');
  assert.equal(await (await answerOf(container, '/')).text(), 'vendoredproduction');
});

test('another Node.js than the buildpack brings comes from the registry, once', { skip: REGISTRY_SKIP }, async (t) => {
  const source = app({
    'package.json':
      '{"name":"o","engines":{"node":"22.x"},"dependencies":{"ms":"2.1.3"},"scripts":{"heroku-postbuild":"node --version"}}',
    'server.js':
      'require("http").createServer((q, r) => r.end(process.version + require("ms")(1000))).listen(process.env.PORT)',
  });
  const first = await stage(garden, blobs, { source, buildpacks: system, egressRules: PUBLIC_NETWORKS });
  assert.equal(first.failureReason, '', first.lines.join('\n'));
  assert.ok(
    first.lines.some((line) => /^v22\./.test(line)),
    'heroku-postbuild ran with it',
  );
  const second = await stage(garden, blobs, {
    source,
    buildpacks: system,
    egressRules: PUBLIC_NETWORKS,
    cache: first.cache!,
  });
  assert.equal(second.failureReason, '', second.lines.join('\n'));
  t.diagnostic(`first ${Math.round(first.milliseconds)} ms, with cache ${Math.round(second.milliseconds)} ms`);
  const container = await launch(garden, second.droplet!, second.result!.process_types['web']!);
  assert.match(await (await answerOf(container, '/')).text(), /^v22\..*1s$/);
});
