import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { GARDEN_SKIP } from '../../support/garden.ts';
import { answerOf } from '../../support/staging.ts';
import { SystemStaging } from '../../support/system-staging.ts';

/* What an app may ask of the system buildpacks. */

let staging: SystemStaging;

before(async () => {
  if (!GARDEN_SKIP) staging = await SystemStaging.start('sto', '10.254.32.0/24', { names: true });
});
after(() => staging?.stop());

test('a static site may ask for client-side routes, a password, listings and HTTPS', {
  skip: GARDEN_SKIP,
}, async () => {
  const staged = await staging.stage('staticfile', {
    Staticfile: 'root: "site dir"\npushstate: enabled\ndirectory: visible # listing\nssi: enabled\nforce_https: true\n',
    // openssl passwd -apr1 -salt cupola open-sesame
    'Staticfile.auth': 'me:$apr1$cupola$v3fnkJcJtEJflUHaZdRE91\n',
    'site dir/index.html': 'index <!--#echo var="document_uri" -->',
    'site dir/.well-known': 'dotted',
  });
  const container = await staging.launch(staged, 'start-nginx');
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
    await staging.refusal('staticfile', { Staticfile: `root: ${root}\n`, 'index.html': 'x', 'a/b/c': 'x' });
  }
});

test('a package.json that cannot be, fails with what is wrong', { skip: GARDEN_SKIP }, async () => {
  for (const [content, words] of [
    ['{', 'could not be read'],
    ['[]', 'not an object'],
    ['{"engines":{"node":"$(touch /tmp/x)"}}', 'not a version range'],
  ] as const) {
    const said = await staging.refusal('nodejs', { 'package.json': content });
    assert.ok(said.includes(words), said);
  }
});

test('packages that were pushed with the app are used, without a network', { skip: GARDEN_SKIP }, async () => {
  const staged = await staging.stage('nodejs', {
    'package.json': '{"name":"v","dependencies":{"mine":"1.0.0"},"scripts":{"start":"node server.js; true"}}',
    'node_modules/mine/package.json': '{"name":"mine","version":"1.0.0"}',
    'node_modules/mine/index.js': 'module.exports = "vendored"',
    'server.js':
      'require("http").createServer((q, r) => r.end(require("mine") + process.env.NODE_ENV)).listen(process.env.PORT)',
  });
  assert.equal(staged.result?.process_types['web'], 'npm start', 'more than one plain program');
  assert.equal(await staging.page(staged), 'vendoredproduction');
});
