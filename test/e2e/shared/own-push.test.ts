import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { messageOf } from '../../../src/kit/errors.ts';
import { run } from '../../../src/kit/process.ts';
import { NO_OFFICIAL_CF, officialCf } from '../../support/official-cf.ts';
import { eventually } from '../../support/platform.ts';
import { SharedPlatform } from '../../support/shared-platform.ts';

const CF = officialCf() ?? '';
const SKIP = process.getuid?.() !== 0 ? 'needs root' : CF === '' ? NO_OFFICIAL_CF : false;

const SERVER = `require('http').createServer((_, res) => res.end(JSON.stringify(process.env))).listen(process.env.PORT);`;

describe('./cupola push', { skip: SKIP }, () => {
  const platform = new SharedPlatform(CF, 'own-push');
  const cf = (...args: string[]) => platform.cf(CF, args);
  const push = (...args: string[]) => platform.tryCupola('push', args, 5 * 60_000);
  const place = ['-o', platform.org, '-s', 'dev'];
  const directory = join(platform.home, 'app');
  const manifest = join(platform.home, 'manifest.yml');

  before(async () => {
    await platform.enter();
    mkdirSync(directory);
    writeFileSync(join(directory, 'server.js'), SERVER);
    writeFileSync(
      join(directory, 'package.json'),
      '{"name":"env","version":"1.0.0","scripts":{"start":"node server.js"}}',
    );
    const app = {
      name: 'own',
      path: 'app',
      memory: '64M',
      buildpacks: ['nodejs_buildpack'],
      env: { A: 'of the manifest', B: 'b' },
    };
    writeFileSync(manifest, JSON.stringify({ applications: [app] }));
  });
  after(() => platform.leave());

  test('BPK-01: pushes by a manifest into an org and a space, shows the staging log meanwhile, and ends with the address', async () => {
    const { exitCode, stdout, stderr } = await push(...place, '-f', manifest, '--env', 'A=of the line', '--env', 'C=c');
    assert.equal(exitCode, 0, `${stdout}\n${stderr}`);
    const lines = stdout.trimEnd().split('\n');
    assert.equal(lines[0], `Pushing app own to org ${platform.org} / space dev as admin...`);
    const [staging, starting] = [lines.indexOf('Staging app...'), lines.indexOf('Starting app...')];
    const log = lines.slice(staging + 1, starting).join('\n');
    assert.match(log, /^ {3}-----> Nodejs Buildpack version /m);
    assert.match(log, /^ {3}Uploading complete$/m, 'to its end');
    const address = `https://own.${platform.domain}:${platform.httpsPort}`;
    assert.equal(lines.at(-1), `own runs at ${address}`);
    const env = JSON.parse(await platform.answer('own')) as Record<string, string>;
    assert.deepEqual([env['A'], env['B'], env['C']], ['of the line', 'b', 'c']);
    assert.match(await cf('app', 'own'), /memory usage:\s+64M/);
  });

  test('a second push replaces the app, and answers programs in JSON alone', async () => {
    const { exitCode, stdout, stderr } = await push(...place, '-f', manifest, '--json');
    assert.equal(exitCode, 0, stderr);
    const { apps } = JSON.parse(stdout) as { apps: object[] };
    const guid = (await cf('app', 'own', '--guid')).trim();
    const addresses = [`https://own.${platform.domain}:${platform.httpsPort}`];
    assert.deepEqual(apps, [{ name: 'own', guid, organization: platform.org, space: 'dev', addresses }]);
    await eventually('the environment of the manifest', async () => {
      const env = JSON.parse(await platform.answer('own')) as Record<string, string>;
      return env['A'] === 'of the manifest';
    });
  });

  test('--strategy rolling replaces the app while it serves, with what --var says', async () => {
    writeFileSync(
      manifest,
      '{"applications": [{"name": "own", "path": "app", "memory": "64M", "buildpacks": ["nodejs_buildpack"], "env": {"A": "((a))"}}]}',
    );
    let asked = 0;
    const failed: number[] = [];
    let going = true;
    const client = (async () => {
      for (; going; asked++) {
        const { status } = await platform.ask('own');
        if (status !== 200) failed.push(status);
      }
    })();
    const { exitCode, stdout, stderr } = await push(
      ...place,
      '-f',
      manifest,
      '--var',
      'a=rolled',
      '--strategy',
      'rolling',
    );
    going = false;
    await client;
    assert.equal(exitCode, 0, `${stdout}\n${stderr}`);
    assert.match(stdout, /^Replacing instances\.\.\.$/m);
    assert.ok(asked > 0);
    assert.deepEqual(failed, [], `of ${asked}`);
    const env = JSON.parse(await platform.answer('own')) as Record<string, string>;
    assert.equal(env['A'], 'rolled');
  });

  test('who must not change the machine gives a client the root that `credentials --ca` prints', async () => {
    const root = join(platform.home, 'root.pem');
    writeFileSync(root, await platform.cupola('credentials', ['--ca']));
    const curl = (...args: string[]) =>
      run('curl', ['-sS', '-o', '/dev/null', '-w', '%{http_code}', ...args, `${platform.credentials.api}/v3`], {
        showWords: true,
      });
    // On a busy machine a handshake may end for another reason first.
    await eventually('curl refuses the certificate', () =>
      curl().then(
        () => assert.fail('it trusts the platform'),
        (error: unknown) => /certificate/i.test(messageOf(error)),
      ),
    );
    assert.equal(await curl('--cacert', root), '200');
  });

  test('what is not there is told in the words of cf, with what makes it', async () => {
    const refused = async (args: string[], says: RegExp): Promise<void> => {
      const { exitCode, stdout, stderr } = await push(directory, ...args);
      assert.deepEqual([exitCode, stdout], [1, '']);
      assert.match(stderr, says);
    };
    await refused(
      ['-o', 'nope', '-s', 'dev'],
      /^cupola: Organization 'nope' not found\. cf create-org nope makes it\.$/m,
    );
    await refused(
      ['-o', platform.org, '-s', 'x'],
      /^cupola: Space 'x' not found\. cf create-space x -o own-push makes it\.$/m,
    );
    const bad = join(platform.home, 'bad.yml');
    writeFileSync(bad, 'applications: [{name: own, memory: much}]');
    const { exitCode, stderr } = await push(directory, ...place, '-f', bad);
    assert.equal(exitCode, 1);
    assert.match(stderr, /^cupola: For application 'own': .* \(422 to POST \S+apply_manifest\)$/m);
  });

  test('a staging that fails shows its log, and an app that crashes its last lines', async () => {
    writeFileSync(join(directory, 'package.json'), '{"name": ');
    const failed = await push(directory, ...place, '-n', 'fails');
    assert.equal(failed.exitCode, 1, failed.stdout);
    assert.match(failed.stdout, /^ {3}-----> Nodejs Buildpack/m);
    assert.match(failed.stderr, /^cupola: Error staging application: BuildpackCompileFailed/);
    writeFileSync(join(directory, 'package.json'), '{"name":"env","version":"1.0.0"}');
    writeFileSync(join(directory, 'server.js'), "console.log('why it ends'); process.exit(3);");
    const crashes = await push(directory, ...place, '-n', 'crashes');
    assert.equal(crashes.exitCode, 1, crashes.stdout);
    assert.match(crashes.stdout, /^ {3}why it ends$/m);
    assert.match(
      crashes.stderr,
      /^cupola: Start unsuccessful: crashes crashes; cf logs crashes --recent shows its log$/m,
    );
  });
});
