import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { ActualLrpSchema } from '../../../src/contracts/gen/diego_pb.js';
import { eventually, stagingResult, startTestFoundation, type TestFoundation } from '../../support/apps.ts';
import { NO_OFFICIAL_CF, officialCf } from '../../support/official-cf.ts';

const CF = officialCf() ?? '';
const missing = CF === '' ? NO_OFFICIAL_CF : false;

/** APM-02: the official CLI against the API, with a stand-in for UAA and for the cells. */
describe('the official cf CLI', { skip: missing }, () => {
  let f: TestFoundation;
  let elsewhere: Server;
  let cells: NodeJS.Timeout;
  const home = mkdtempSync('/tmp/cupola-cf-');
  const app = join(home, 'app');

  before(async () => {
    elsewhere = createServer((request, response) => {
      const path = request.url ?? '';
      response.setHeader('content-type', 'application/json');
      if (path.startsWith('/oauth/token')) {
        const tokens = { access_token: f.developer.token, refresh_token: 'r', token_type: 'bearer', expires_in: 600 };
        response.end(JSON.stringify(tokens));
      } else if (path.startsWith('/login')) {
        const prompts = { username: ['text', 'Email'], password: ['password', 'Password'] };
        response.end(JSON.stringify({ app: { version: '77.0.0' }, prompts, links: {} }));
      } else if (path.startsWith('/api/v1/read')) response.end('{"envelopes":{"batch":[]}}');
      else response.end('{"version":"1.0.0","vm_uptime":"1"}');
    });
    await new Promise<void>((resolve) => elsewhere.listen(0, '127.0.0.1', resolve));
    const address = elsewhere.address();
    assert.ok(address !== null && typeof address === 'object');
    f = await startTestFoundation({ elsewhere: `http://127.0.0.1:${address.port}` });
    cells = setInterval(() => void actAsCells(f), 50);
    mkdirSync(app);
    writeFileSync(join(app, 'package.json'), '{}');
    writeFileSync(join(app, 'big.bin'), Buffer.alloc(200_000, 9));
    await cf('api', f.cc.url);
    await cf('auth', 'dev', 'pw');
    await cf('target', '-o', 'acme', '-s', 'dev');
  });
  after(async () => {
    clearInterval(cells);
    await f.close();
    elsewhere.closeAllConnections();
    elsewhere.close();
    rmSync(home, { recursive: true, force: true });
  });

  function cf(...parameters: string[]): Promise<string> {
    const env = { CF_HOME: home, HOME: home, PATH: '/usr/bin:/bin', LANG: 'C' };
    return new Promise((resolve, reject) =>
      execFile(CF, parameters, { env, cwd: home, timeout: 60_000 }, (error, stdout, stderr) =>
        error ? reject(new Error(`cf ${parameters.join(' ')}\n${stdout}\n${stderr}`)) : resolve(stdout),
      ),
    );
  }

  it('pushes, shows and scales an app', async () => {
    const pushed = await cf('push', 'shop', '-p', app, '-m', '64M', '-b', 'nodejs_buildpack');
    assert.match(pushed, /requested state:\s+started/);
    assert.match(pushed, /routes:\s+shop\.test\.example/);
    assert.match(pushed, /#0\s+running/);
    assert.match(await cf('app', 'shop'), /memory usage:\s+64M/);
    assert.match(await cf('apps'), /shop\s+started\s+web:1\/1/);
    await cf('scale', 'shop', '-i', '3');
    assert.match(await cf('app', 'shop'), /instances:\s+3\/3/);
  });

  it('AUD-01: sets and shows the environment, restarts, restages and rolls, and its events tell', async () => {
    await cf('set-env', 'shop', 'GREETING', 'hello');
    assert.match(await cf('env', 'shop'), /GREETING:\s+hello/);
    await cf('unset-env', 'shop', 'GREETING');
    await cf('restart', 'shop');
    await cf('restage', 'shop');
    assert.match(await cf('restart', 'shop', '--strategy', 'rolling'), /TIP|OK|running/);
    await cf('push', 'shop', '-p', app, '--strategy', 'rolling');
    await cf('stop', 'shop');
    assert.match(await cf('start', 'shop'), /requested state:\s+started/);
    assert.match(await cf('events', 'shop'), /audit\.app\.process\.scale/);
  });

  it('rolls with a number in flight, and takes the steps of a canary', async () => {
    assert.match(await cf('restart', 'shop', '--strategy', 'rolling', '--max-in-flight', '2', '--no-wait'), /shop/);
    const steps = ['--strategy', 'canary', '--instance-steps', '50,100', '--no-wait'];
    assert.match(await cf('restart', 'shop', ...steps), /shop/);
    await cf('cancel-deployment', 'shop');
  });

  it('says of what is not here that it is not here', async () => {
    await assert.rejects(cf('network-policies'), /Network Policy API|does not expose/i);
    await assert.rejects(
      cf('create-route', 'test.example', '-n', 'least', '-o', 'loadbalancing=least-connection'),
      /not available/,
    );
    await cf('create-route', 'test.example', '-n', 'turns', '-o', 'loadbalancing=round-robin');
    assert.match(await cf('route', 'test.example', '-n', 'turns'), /loadbalancing=round-robin/);
  });

  it('APM-02: scalars of a manifest are variables as they are written', async () => {
    const variables = async (name: string): Promise<object> => {
      const guid = (await cf('app', name, '--guid')).trim();
      return JSON.parse(await cf('curl', `/v3/apps/${guid}/environment_variables`)).var;
    };
    const written = { BIG: '12345678901234567890', FLOAT: '1.0', OCTAL: '0123', EXPONENT: '1e3', ANSWER: 'yes' };
    const manifest = (name: string, value: (text: string) => string): string => {
      const lines = Object.entries(written).map(([key, text]) => `    ${key}: ${value(text)}\n`);
      return `applications:\n- name: ${name}\n  env:\n${lines.join('')}    NONE: ~\n`;
    };
    const file = join(home, 'scalars.yml');
    writeFileSync(file, manifest('plain', String));
    const space = f.space;
    const yaml = ['-X', 'POST', '-H', 'Content-Type: application/x-yaml', '-d', `@${file}`];
    await cf('curl', `/v3/spaces/${space}/actions/apply_manifest`, ...yaml);
    await eventually(async () => Object.keys(await variables('plain')).length > 0);
    assert.deepEqual(await variables('plain'), { ...written, NONE: '' });
    // The tool reads a manifest and writes it anew: it keeps what is quoted, and integers.
    writeFileSync(
      file,
      manifest('quoted', (text) => (text === written.BIG ? text : `"${text}"`)),
    );
    await cf('apply-manifest', '-f', file);
    assert.deepEqual(await variables('quoted'), { ...written, NONE: '' });
  });

  it('reads buildpacks and stacks, runs a task and writes the manifest', async () => {
    assert.match(await cf('buildpacks'), /nodejs_buildpack\s+debian12/);
    assert.match(await cf('stacks'), /debian12/);
    assert.match(await cf('run-task', 'shop', '--command', 'true', '--name', 'once'), /OK/);
    assert.match(await cf('tasks', 'shop'), /once/);
    await cf('create-app-manifest', 'shop', '-p', join(home, 'manifest.yml'));
    assert.ok(existsSync(join(home, 'manifest.yml')));
    await cf('set-health-check', 'shop', 'http', '--endpoint', '/up');
    assert.match(await cf('get-health-check', 'shop'), /http/);
  });

  it('deletes an app with its routes', async () => {
    await cf('delete', 'shop', '-f', '-r');
    assert.doesNotMatch(await cf('apps'), /shop/);
    assert.doesNotMatch(await cf('routes'), /shop/);
  });
});

/** Stages what is to be staged and runs what is to run. */
async function actAsCells(f: TestFoundation): Promise<void> {
  for (const task of [...f.bbs.tasks.values()]) {
    if (task.work.case !== 'staging') continue;
    f.bbs.tasks.delete(task.taskGuid);
    const key = /droplets\/([\w-]+)/.exec(task.work.value.uploadDroplet?.url ?? '')?.[1] ?? '';
    const bytes = Buffer.from(key);
    f.blobs.held.set(`droplets/${key}`, bytes);
    const result = stagingResult(createHash('sha256').update(bytes).digest('hex'), bytes.length);
    await f.internal.taskCompleted({ taskGuid: task.taskGuid, domain: task.domain, failed: false, result });
  }
  f.bbs.actual = [...f.bbs.lrps.values()].flatMap((lrp) =>
    Array.from({ length: lrp.instances }, (_, index) =>
      create(ActualLrpSchema, {
        processGuid: lrp.processGuid,
        index,
        state: 'RUNNING',
        instanceGuid: `${lrp.processGuid}-${index}`,
        sinceNs: BigInt(Date.now()) * 1_000_000n,
      }),
    ),
  );
}
