import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import busboy from 'busboy';
import { parse } from 'yaml';
import yauzl from 'yauzl';
import { Api } from '../../../src/cli/push/api.ts';
import { AppLog } from '../../../src/cli/push/app-log.ts';
import { zipDirectory } from '../../../src/cli/push/archive.ts';
import { appsToPush, type PushRequest } from '../../../src/cli/push/manifest.ts';
import { placeOf } from '../../../src/cli/push/place.ts';
import { Resource } from '../../../src/cli/push/resource.ts';
import { readVariables, variableOf } from '../../../src/cli/push/variables.ts';
import { CupolaError, messageOf } from '../../../src/kit/errors.ts';
import { createRoot, issue } from '../../../src/kit/pki.ts';
import { freePorts } from '../../../src/platform/free-ports.ts';
import type { Credentials } from '../../../src/platform/secrets.ts';
import type { PlatformSettings } from '../../../src/platform/settings/schema.ts';

const directory = mkdtempSync(join(tmpdir(), 'cupola-push-test-'));
after(() => rmSync(directory, { recursive: true }));

async function namesIn(file: string): Promise<string[]> {
  const zip = await yauzl.openPromise(file);
  const names: string[] = [];
  for await (const { fileName } of zip.eachEntry()) names.push(fileName);
  return names.sort();
}

test('.cfignore leaves at home what git would, and what the cf CLI leaves there too', async () => {
  const app = join(directory, 'app');
  const files = [
    'a.js',
    'a.log',
    'keep.log',
    'A.LOG',
    'build/out.js',
    'src/build',
    'src/deep/x.tmp',
    'doc/manifest.yml',
  ];
  for (const file of [...files, 'manifest.yml', '.gitignore', '.git/HEAD', 'src/.DS_Store', 'node_modules/m/i.js']) {
    mkdirSync(join(app, file, '..'), { recursive: true });
    writeFileSync(join(app, file), 'x');
  }
  const rules = ['# what is made', '*.log', '!keep.log', '/build/', 'src/**/*.tmp', 'node_modules/', ''];
  writeFileSync(join(app, '.cfignore'), rules.join('\r\n'));
  const target = join(directory, 'app.zip');
  await zipDirectory(app, target);
  assert.deepEqual(await namesIn(target), ['A.LOG', 'a.js', 'doc/manifest.yml', 'keep.log', 'src/build']);
  writeFileSync(join(app, '.cfignore'), '*');
  await assert.rejects(zipDirectory(app, target), { code: 'nothing_to_push' });
});

describe('what is pushed', () => {
  /** A directory with these files, which say themselves. */
  const made = (name: string, files: Readonly<Record<string, string>>): string => {
    const base = join(directory, name);
    for (const [file, content] of Object.entries(files)) {
      mkdirSync(join(base, file, '..'), { recursive: true });
      writeFileSync(join(base, file), content);
    }
    return base;
  };
  const read = async (request: PushRequest) =>
    (await appsToPush(request)).map(({ yaml, ...app }) => ({ ...app, applied: parse(yaml).applications }));

  test('a directory without a manifest is an app of its name, with the default route', async () => {
    const app = made('plain', { 'a.js': '' });
    assert.deepEqual(await read({ directory: app, env: { A: '1' } }), [
      {
        name: 'plain',
        directory: app,
        docker: null,
        applied: [{ name: 'plain', env: { A: '1' }, 'default-route': true }],
      },
    ]);
  });

  test('a manifest is read as cf push reads it: anchors, `path` from where it lies, routes, and --name and --env over it', async () => {
    const manifest = [
      'defaults: &defaults {memory: 64M, env: {A: x, B: y}}',
      'applications:',
      '- {<<: *defaults, name: one, path: dist, random-route: true}',
    ].join('\n');
    const app = made('one-app', { 'manifest.yml': manifest, 'dist/a.js': '', 'other/b.js': '' });
    const entry = { memory: '64M', env: { A: '1', B: 'y' }, name: 'renamed', 'random-route': true };
    assert.deepEqual(await read({ directory: app, name: 'renamed', env: { A: '1' } }), [
      { name: 'renamed', directory: join(app, 'dist'), docker: null, applied: [entry] },
    ]);
    const file = join(app, 'manifest.yml');
    for (const named of [file, app]) assert.equal((await read({ manifest: named }))[0]!.directory, join(app, 'dist'));
    const other = join(app, 'other');
    assert.equal((await read({ manifest: file, directory: other }))[0]!.directory, other, 'as cf push -p');
  });

  test('variables of a manifest are what --vars-file and --var say, of any type, and within texts', async () => {
    const files = {
      'manifest.yml':
        'applications: [{name: ((who))-((n.one)), instances: ((n.two)), services: ((list)), env: {((key)): x((n.two))}}]',
      'one.yml': 'n: {one: a, two: 3}\nlist: [p, q]\nkey: overwritten\n',
      'two.yml': 'key: K\nwho: nobody\n',
    };
    const app = made('variables', files);
    const named = ['one.yml', 'two.yml'].map((name) => join(app, name));
    const variables = await readVariables(named, ['who=me']);
    const [pushed] = await read({ directory: app, variables });
    const entry = { name: 'me-a', instances: 3, services: ['p', 'q'], env: { K: 'x3' }, 'default-route': true };
    assert.deepEqual(pushed!.applied, [entry]);
    assert.deepEqual(variableOf('n=3'), ['n', 3]);
    assert.equal(variableOf('=3'), null);
    for (const name of ['__proto__', 'n.one.length', 'list']) {
      const text = { name: 'x', env: { A: `a((${name}))` } };
      const asked = made('no-variable', { 'manifest.yml': JSON.stringify({ applications: [text] }) });
      await assert.rejects(appsToPush({ directory: asked, variables }), /has variables/, name);
    }
  });

  test('what --vars-file names and is no YAML is told without what stands in it', async () => {
    const app = made('bad-variables', { 'a.yml': 'planted: [', 'b.yml': 'planted' });
    for (const file of ['a.yml', 'b.yml']) {
      const path = join(app, file);
      const told = { code: 'bad_variables', message: `${path} is no YAML with a value for each name` };
      await assert.rejects(readVariables([path], []), told);
    }
    await assert.rejects(readVariables([join(app, 'c.yml')], []), {
      code: 'bad_variables',
      message: /cannot be read$/,
    });
  });

  test('a container image is one of the manifest, or one that is named over it', async () => {
    const manifest = 'applications: [{name: i, docker: {image: a/b, username: u}}]';
    const app = made('image', { 'manifest.yml': manifest });
    const images = async (request: PushRequest) =>
      (await read({ directory: app, ...request })).map(({ docker, applied }) => [docker, applied[0].docker]);
    const own = { image: 'a/b', username: 'u' };
    assert.deepEqual(await images({}), [[own, own]]);
    assert.deepEqual(await images({ docker: { image: 'c' } }), [[{ image: 'c' }, { image: 'c' }]]);
  });

  test('SECURITY: a manifest leads to no file beside its directory, unless the person names that', async () => {
    const outside = made('outside', { 'key.pem': 'planted' });
    const app = made('leads-out', { 'manifest.yml': '', 'in/a.js': '' });
    symlinkSync(outside, join(app, 'in/link'));
    const file = join(app, 'manifest.yml');
    const leadTo = (path: string) => writeFileSync(file, `applications: [{name: a, path: ${path}}]`);
    for (const path of ['../outside', outside, '..', 'in/link', 'in/../../leads-out/../outside', '../leads-out-too']) {
      made('leads-out-too', { 'a.js': '' });
      leadTo(path);
      for (const request of [{ directory: app }, { manifest: file }])
        await assert.rejects(appsToPush(request), { code: 'bad_manifest', message: /outside of its directory/ }, path);
    }
    assert.equal((await read({ manifest: file, directory: outside }))[0]!.directory, outside);
    for (const path of ['.', './', 'in', '../leads-out/in']) {
      leadTo(path);
      assert.ok((await read({ directory: app }))[0]!.directory.startsWith(app), path);
    }
  });

  test('of several apps all are pushed, or the one that is named', async () => {
    const apps = '[{name: web, path: w}, {name: worker, path: w, no-route: true}]';
    const app = made('two-apps', { 'manifest.yml': `applications: ${apps}`, 'w/a.js': '' });
    assert.deepEqual(
      (await read({ directory: app })).map(({ name }) => name),
      ['web', 'worker'],
    );
    assert.deepEqual(
      (await read({ directory: app, name: 'worker' })).map(({ applied }) => applied),
      [[{ name: 'worker', 'no-route': true }]],
    );
    const refused = (request: PushRequest, message: RegExp) =>
      assert.rejects(appsToPush({ directory: app, ...request }), { code: 'bad_manifest', message });
    await refused({ name: 'x' }, /^Could not find app named 'x' in manifest$/);
    await refused({ env: { A: '1' } }, /has 2 apps: --name says which one$/);
    await refused({ manifest: app }, /has 2 apps: --name says which one$/);
  });

  test('what cannot be pushed is refused, by the place and without what the manifest says', async () => {
    const refused = (manifest: string, message: RegExp) =>
      assert.rejects(appsToPush({ directory: made('broken', { 'manifest.yml': manifest }) }), {
        code: 'bad_manifest',
        message,
      });
    await refused('applications: [planted\nenv: x\n', /\/broken\/manifest\.yml is no YAML: .* at line 2, column 1$/);
    await refused('env: planted', /\/manifest\.yml has no applications$/);
    await refused('applications: []', /\/manifest\.yml has no applications$/);
    await refused('applications: [{name: ((who)), memory: ((m))}]', /has variables: \(\(who\)\), \(\(m\)\); --var/);
    await refused('applications: [{name: "\\e[2J"}]', /^the name of an app has no control characters$/);
    await refused('applications: [{name: i, docker: {imge: x}}]', /^docker of i takes image and username$/);
    await assert.rejects(appsToPush({ manifest: join(directory, 'none.yml') }), { code: 'bad_manifest' });
    await assert.rejects(appsToPush({ directory: join(directory, 'nowhere') }), {
      code: 'no_directory',
      message: `${join(directory, 'nowhere')} is not a directory`,
    });
  });
});

/** What the server was sent. */
interface Call {
  path: string;
  authorization: string | undefined;
  length: string | undefined;
  field?: string;
  file?: string;
  content?: Buffer;
}

describe('the client of the API', () => {
  const calls: Call[] = [];
  const notBefore = new Date(Date.now() - 60_000);
  const notAfter = new Date(Date.now() + 3_600_000);
  let server: Server;
  let settings: PlatformSettings;
  let credentials: Credentials;
  let otherRoot: string;
  /** What it answers to a GET. */
  const lists = new Map<string, object>();

  before(async () => {
    const root = await createRoot('test', notBefore, notAfter);
    otherRoot = (await createRoot('other', notBefore, notAfter)).cert;
    const dnsNames = ['uaa.cupola.test', 'api.cupola.test', 'log-cache.cupola.test'];
    const { cert, key } = await issue(
      { ...root, isRoot: true },
      { commonName: 'front', dnsNames, notBefore, notAfter },
    );
    server = createServer({ cert, key }, (request, response) => {
      const { authorization, 'content-length': length } = request.headers;
      const call: Call = { path: `${request.method} ${request.url}`, authorization, length };
      calls.push(call);
      const answer = (status: number, value: unknown) => response.writeHead(status).end(JSON.stringify(value));
      if (request.url === '/oauth/token') {
        request.resume();
        return void answer(200, { access_token: 'the-token' });
      }
      if (request.url?.endsWith('/upload')) {
        const form = busboy({ headers: request.headers });
        form.on('file', async (field, stream, { filename }) => {
          Object.assign(call, { field, file: filename, content: await buffer(stream) });
        });
        form.on('close', () => answer(200, {}));
        return void request.pipe(form);
      }
      request.resume();
      const listed = lists.get(request.url ?? '');
      if (listed) return void answer(200, listed);
      if (request.url === '/v3/stacks') return void answer(200, { resources: [{ guid: 7, secret: 'planted' }] });
      answer(422, { errors: [{ detail: 'no such thing' }, { detail: 'nor that' }] });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    // Of a platform's settings it needs to know where its router is.
    settings = { domain: 'cupola.test', bindAddress: '0.0.0.0', httpsPort: port } as PlatformSettings;
    const api = `https://api.cupola.test:${port}`;
    credentials = { api, username: 'admin', password: 'p', domain: 'cupola.test', ca_cert: root.cert };
  });
  after(() => {
    server.closeAllConnections();
    server.close();
  });

  test('SECURITY: sends no password to who has no certificate of the platform for that very name', async () => {
    calls.length = 0;
    const login = (changes: Partial<Credentials>, domain = 'cupola.test') =>
      Api.login({ ...settings, domain }, { ...credentials, ...changes });
    const because = (why: RegExp) => (error: unknown) => {
      assert.ok(error instanceof CupolaError && error.code === 'api_unreachable');
      assert.match(messageOf(error.cause), why);
      return true;
    };
    await assert.rejects(login({ ca_cert: otherRoot }), because(/unable to verify|self.signed|local issuer/i));
    await assert.rejects(login({}, 'other.test'), because(/uaa\.other\.test.* not in the cert's altnames/i));
    assert.equal(calls.length, 0);
    (await login({})).close();
    assert.equal(calls.length, 1, 'it sends it to the platform');
  });

  test('a file goes up whole, and its length is told before', async () => {
    calls.length = 0;
    const file = join(directory, 'upload.zip');
    const content = Buffer.alloc(3_000_000, 'zip of an app');
    writeFileSync(file, content);
    const api = await Api.login(settings, credentials);
    await api.upload('/v3/packages/guid/upload', 'bits', file);
    api.close();
    const { length, content: received, ...call } = calls[1]!;
    assert.deepEqual(call, {
      path: 'POST /v3/packages/guid/upload',
      authorization: 'bearer the-token',
      field: 'bits',
      file: 'upload.zip',
    });
    assert.ok(received?.equals(content));
    assert.ok(Number(length) > content.length && Number(length) < content.length + 1_000, `${length} bytes`);
  });

  test('a refusal says what was asked and what the API says of it', async () => {
    const api = await Api.login(settings, credentials);
    await assert.rejects(api.post('/v3/apps', { name: 'x' }), {
      code: 'api_refused',
      message: 'no such thing; nor that (422 to POST /v3/apps)',
    });
    api.close();
  });

  test('where nobody listens it says that the platform does not run, and what starts it', async () => {
    const [port = 0] = await freePorts(1);
    const down = { ...settings, httpsPort: port, dataDirectory: '/srv/cupola' };
    await assert.rejects(Api.login(down, credentials), {
      code: 'not_running',
      message: `nothing listens on port ${port}: the platform does not run; ./cupola up --data /srv/cupola starts it`,
      cause: undefined,
    });
  });

  test('an answer of another shape is refused, and names no value', async () => {
    const api = await Api.login(settings, credentials);
    await assert.rejects(api.first('/v3/stacks', Resource), {
      code: 'api_answer',
      message: 'the answer to GET /v3/stacks: resources.0.guid must be string',
    });
    api.close();
  });

  test('an organization and a space are found as cf target finds them, and told in its words where they are not there', async () => {
    const listed = (path: string, ...names: string[]) =>
      lists.set(path, { resources: names.map((name) => ({ name, guid: `${name}-guid` })) });
    listed('/v3/organizations?names=acme', 'acme');
    listed('/v3/organizations?names=a%20b');
    listed('/v3/spaces?organization_guids=acme-guid&per_page=5000', 'dev', 'prod');
    listed('/v3/organizations?names=small', 'small');
    listed('/v3/spaces?organization_guids=small-guid&per_page=5000', 'only');
    const api = await Api.login(settings, credentials);
    assert.deepEqual(await placeOf(api, { organization: 'acme', space: 'Prod' }), {
      organization: 'acme',
      space: 'prod',
      spaceGuid: 'prod-guid',
    });
    assert.equal((await placeOf(api, { organization: 'small' })).space, 'only');
    const refused = (place: Parameters<typeof placeOf>[1], message: string) =>
      assert.rejects(placeOf(api, place), { code: 'place_unknown', message });
    await refused({ organization: 'a b', space: 'x' }, "Organization 'a b' not found. cf create-org a b makes it.");
    await refused({ organization: 'acme', space: 'x' }, "Space 'x' not found. cf create-space x -o acme makes it.");
    await refused({ organization: 'acme' }, '-s says which space of acme; there are: dev, prod');
    api.close();
  });

  test('SECURITY: a staging log is shown from its push on, line by line, and moves no cursor of the terminal', async () => {
    const envelope = (timestamp: number, source: string, text: string) => ({
      timestamp: String(timestamp),
      tags: { source_type: source },
      log: { payload: Buffer.from(text).toString('base64') },
    });
    const batch = (path: string, ...found: object[]) =>
      lists.set(`/api/v1/read/app?envelope_types=LOG&${path}`, { envelopes: { batch: found } });
    batch('descending=true&limit=1', envelope(5, 'STG', 'of a push before'));
    const api = await Api.login(settings, credentials);
    const log = await AppLog.from(api, 'app');
    batch(
      'start_time=6&limit=1000',
      envelope(7, 'STG', '\u001b[2J\u001b[31m-----> Red\u001b[0m\u0007\nnext\r'),
      envelope(8, 'RTR', 'a request'),
    );
    batch('start_time=9&limit=1000', envelope(9, 'APP/PROC/WEB', 'an error'), { timestamp: '10', tags: {} });
    assert.deepEqual(await log.lines('STG'), ['-----> Red', 'next']);
    assert.deepEqual(await log.lines('APP'), ['an error']);
    api.close();
  });

  test('SECURITY: a log that grows faster than it is read is read to where it was, and then the next time', async () => {
    const later = BigInt(Date.now() + 3_600_000) * 1_000_000n;
    const full = Array.from({ length: 1_000 }, (_, n) => ({
      timestamp: String(later + BigInt(n)),
      tags: { source_type: 'STG' },
      log: { payload: 'eA==' },
    }));
    const read = '/api/v1/read/fast?envelope_types=LOG&';
    lists.set(`${read}descending=true&limit=1`, { envelopes: { batch: [] } });
    lists.set(`${read}start_time=0&limit=1000`, { envelopes: { batch: full } });
    const api = await Api.login(settings, credentials);
    const log = await AppLog.from(api, 'fast');
    assert.equal((await log.lines('STG')).length, 1_000);
    api.close();
  });
});
