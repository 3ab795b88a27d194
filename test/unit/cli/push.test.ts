import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import busboy from 'busboy';
import yauzl from 'yauzl';
import { Api } from '../../../src/cli/push/api.ts';
import { zipDirectory } from '../../../src/cli/push/archive.ts';
import { manifestFor } from '../../../src/cli/push/manifest.ts';
import { Resource } from '../../../src/cli/push/resource.ts';
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

test('a manifest that is no YAML is refused, by the place and without what it says', async () => {
  const app = join(directory, 'broken');
  mkdirSync(app);
  writeFileSync(join(app, 'manifest.yml'), 'applications: [planted\nenv: x\n');
  await assert.rejects(manifestFor(app), {
    code: 'bad_manifest',
    message: /^manifest\.yml is no YAML: .* at line 2, column 1$/,
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

  before(async () => {
    const root = await createRoot('test', notBefore, notAfter);
    otherRoot = (await createRoot('other', notBefore, notAfter)).cert;
    const dnsNames = ['uaa.cupola.test', 'api.cupola.test'];
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
      message: 'POST /v3/apps: 422 no such thing; nor that',
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
});
