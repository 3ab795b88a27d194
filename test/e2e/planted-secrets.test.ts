import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import ssh2 from 'ssh2';
import { run } from '../../src/kit/process.ts';
import { binDirectory } from '../../src/platform/engines/postgresql/programs.ts';
import { NO_OFFICIAL_CF, officialCf } from '../support/official-cf.ts';
import { Planted } from '../support/planted.ts';
import { eventually, ROOT, TestPlatform } from '../support/platform.ts';
import { allProcesses, familyOf, type Seen } from '../support/processes.ts';

const CF = officialCf() ?? '';
const SKIP = process.getuid?.() !== 0 ? 'needs root' : CF === '' ? NO_OFFICIAL_CF : false;
/** What the database holds unsealed, as SECURITY.md says under what is not held yet. */
const UNSEALED = ['the command of a process', 'a token in the address of a buildpack'];
/** More than the variables of an app may have. */
const TOO_LONG = 'x'.repeat(140_000);

describe('SECURITY 22, 28: secrets, given in every way there is, while things succeed and fail', { skip: SKIP }, () => {
  const platform = new TestPlatform({ httpsPort: 8512, domain: 'planted.cupola.localhost' });
  const planted = new Planted();
  const cf = (...args: string[]) => platform.cf(CF, args);
  let space = '';
  let token = '';
  let serial = 0;
  const began = Date.now();

  before(async () => {
    await platform.upWithOrg(CF);
    space = (await cf('space', 'dev', '--guid')).trim();
    planted.add('the administrator’s password', platform.credentials.password);
    token = (await cf('oauth-token')).trim().replace(/^bearer /i, '');
    planted.add('an access token', token);
    const { RefreshToken } = JSON.parse(readFileSync(join(platform.home, '.cf/config.json'), 'utf8'));
    planted.add('a refresh token', RefreshToken);
    await plantInUsersAndClients();
    await plantInApp();
    await plantInStaging();
    await plantInSsh();
  });
  after(() => platform.remove());

  /** A call of the API; its body goes by a file, so that the test's own programs have no secret in their arguments. */
  async function api(method: string, path: string, body?: unknown, type = 'application/json') {
    const file = join(platform.home, `body-${++serial}`);
    writeFileSync(file, typeof body === 'string' ? body : JSON.stringify(body ?? {}), { mode: 0o600 });
    const data = body === undefined ? [] : ['-H', `Content-Type: ${type}`, '-d', `@${file}`];
    const said = await cf('curl', path, '-X', method, ...data);
    // biome-ignore lint/suspicious/noExplicitAny: an answer of any resource
    return JSON.parse(said.trim() || '{}') as any;
  }

  async function appNamed(name: string, lifecycle?: object): Promise<string> {
    const relationships = { space: { data: { guid: space } } };
    const { guid } = await api('POST', '/v3/apps', { name, relationships, ...(lifecycle ? { lifecycle } : {}) });
    assert.ok(guid, name);
    return guid;
  }

  /** Passwords and client secrets, good and wrong. */
  async function plantInUsersAndClients(): Promise<void> {
    const uaa = (path: string, body: object) =>
      platform.request('uaa', { path, token, body: JSON.stringify(body) }).then(({ status }) => status);
    const user = {
      emails: [{ value: 'a@b.example' }],
      userName: 'planted',
      password: planted.make('a user’s password'),
    };
    assert.equal(await uaa('/Users', user), 201);
    assert.equal(await uaa('/Users', user), 409, 'once more');
    const client = {
      client_id: 'planted',
      client_secret: planted.make('a client secret'),
      authorized_grant_types: ['client_credentials'],
      authorities: ['uaa.none'],
    };
    assert.ok([201, 403].includes(await uaa('/oauth/clients', client)));
    await platform.cf(CF, ['auth', 'planted'], { password: user.password });
    const wrong = planted.make('a wrong password');
    assert.notEqual((await platform.tryCf(CF, ['auth', 'planted'], { password: wrong })).exitCode, 0);
    await platform.request('api', { path: '/v3/apps', token: planted.make('a token that is none') });
    await platform.request('log-cache', { path: '/api/v1/read/x', token: planted.make('another token that is none') });
    await platform.signIn(CF);
    await cf('target', '-o', 'acme', '-s', 'dev');
  }

  /** Variables of every kind, an app that cannot start, manifests, tasks. */
  async function plantInApp(): Promise<void> {
    const directory = join(ROOT, 'examples/hello-node');
    const manifestFile = join(directory, 'manifest.yml');
    await cf('push', '-f', manifestFile, '-p', directory, '-b', 'nodejs_buildpack', '--no-start');
    const guid = (await cf('app', 'hello-node', '--guid')).trim();
    const set = (variables: object) => api('PATCH', `/v3/apps/${guid}/environment_variables`, { var: variables });
    const kept = planted.make('a variable');
    await set({
      PLANTED: kept,
      'an odd name': planted.make('a variable of an odd name'),
      'ODD"\n\\': planted.make('one of an odder name'),
    });
    for (const [name, value] of [
      ['NUL', `${planted.make('a variable with NUL')}\0`],
      ['VCAP_X', planted.make('a variable of a forbidden name')],
      [`${planted.make('a name')}=x`, 'x'],
    ] as const) {
      assert.ok((await set({ [name]: value })).errors, name);
    }
    await api('PATCH', '/v3/environment_variable_groups/running', { var: { GROUP: planted.make('a group variable') } });
    await api('PATCH', '/v3/environment_variable_groups/staging', {
      var: { GROUP: planted.make('a staging variable') },
    });
    await cf('start', 'hello-node');
    const inApp = appProcesses().filter(({ environment }) => environment.includes(kept));
    assert.ok(inApp.length > 0, 'the app has it, so that looking for it means something');
    const manifest = (text: string) =>
      api('POST', `/v3/spaces/${space}/actions/apply_manifest`, text, 'application/x-yaml');
    const secret = planted.make('a manifest’s variable');
    await manifest(`applications:\n- name: hello-node\n  env: { M: ${secret} }\n`);
    await manifest(`applications:\n- name: hello-node\n  env: { M: [${planted.make('a refused manifest’s')}] }\n`);
    await manifest(`applications: [ "${planted.make('a broken manifest’s')}\n`);
    const command = `true ${planted.make('a command')}`;
    const failing = `false ${planted.make('a failing command')}`;
    for (const one of [command, failing]) await api('POST', `/v3/apps/${guid}/tasks`, { command: one });
    await eventually('both tasks end', async () => {
      const { resources } = await api('GET', `/v3/apps/${guid}/tasks`);
      return resources.every(({ state }: { state: string }) => /SUCCEEDED|FAILED/.test(state));
    });
    assert.ok((await set({ HUGE: `${planted.make('a variable that is too long')}${TOO_LONG}` })).errors);
    // It cannot start now, and its command holds a secret.
    const { guid: process_ } = await api('GET', `/v3/apps/${guid}/processes/web`);
    await api('PATCH', `/v3/processes/${process_}`, { command: `false ${planted.make('the command of a process')}` });
    await api('POST', `/v3/apps/${guid}/actions/restart`, {});
    await eventually('a crash', async () => /app\.(process\.)?crash/.test(await cf('events', 'hello-node')));
    await api('PATCH', `/v3/processes/${process_}`, { command: null });
    await cf('restart', 'hello-node');
  }

  /** Buildpack addresses, a droplet and an image that are no good. */
  async function plantInStaging(): Promise<void> {
    const address = `http://127.0.0.1:9/b.zip?token=${planted.make('a token in the address of a buildpack')}`;
    const lifecycle = (buildpacks: string[]) => ({ type: 'buildpack', data: { buildpacks } });
    const userInfo = `https://u:${planted.make('a password in an address')}@h.example/b.zip`;
    const relationships = { space: { data: { guid: space } } };
    assert.ok((await api('POST', '/v3/apps', { name: 'x', relationships, lifecycle: lifecycle([userInfo]) })).errors);
    const directory = join(ROOT, 'examples/static-site');
    await appNamed('fails', lifecycle([address]));
    const failed = await platform.tryCf(CF, ['push', 'fails', '-p', directory, '-b', address.replace(/\?.*/, '')], {
      timeoutMs: 90_000,
    });
    assert.notEqual(failed.exitCode, 0);
    const { guid } = (await api('GET', '/v3/apps?names=fails')).resources[0];
    await api('PATCH', `/v3/apps/${guid}`, { lifecycle: lifecycle([address]) });
    const [ready] = (await api('GET', `/v3/apps/${guid}/packages`)).resources;
    const build = await api('POST', '/v3/builds', { package: { guid: ready.guid } });
    const ended = (one: string) =>
      eventually('the build fails', async () => (await api('GET', `/v3/builds/${one}`)).state === 'FAILED', 90_000);
    await ended(build.guid);

    const droplet = join(platform.home, 'droplet.tgz');
    writeFileSync(droplet, `no archive, but ${'x'.repeat(1000)}`);
    await cf('create-app', 'bad-droplet');
    await platform.tryCf(CF, ['push', 'bad-droplet', '--droplet', droplet, '-k', '64M', '--no-start']);
    await api('POST', `/v3/apps/${(await cf('app', 'bad-droplet', '--guid')).trim()}/actions/start`, {});
    await eventually('it cannot start', async () => /app\.(process\.)?crash/.test(await cf('events', 'bad-droplet')));

    await cf('enable-feature-flag', 'diego_docker');
    const app = await appNamed('image', { type: 'docker', data: {} });
    const image = await api('POST', '/v3/packages', {
      type: 'docker',
      relationships: { app: { data: { guid: app } } },
      data: { image: '127.0.0.1:9/none:1', username: 'u', password: planted.make('a registry’s password') },
    });
    await ended((await api('POST', '/v3/builds', { package: { guid: image.guid } })).guid);
  }

  /** A code that is good and one that is not. */
  async function plantInSsh(): Promise<void> {
    const guid = (await cf('app', 'hello-node', '--guid')).trim();
    const good = (await cf('ssh-code')).trim();
    planted.add('an SSH code', good);
    for (const password of [good, good, planted.make('a wrong SSH code')]) {
      const client = new ssh2.Client();
      const ended = new Promise<void>((resolve) => client.once('close', resolve));
      client.on('error', () => {}).once('ready', () => client.end());
      client.connect({
        host: '127.0.0.1',
        port: platform.layout.settings.sshPort ?? 0,
        username: `cf:${guid}/0`,
        password,
      });
      await ended;
    }
  }

  test('SECURITY 28: no secret is in a log, a file, a dump of the database or an event', async () => {
    const { layout } = platform;
    const logs = planted.inFiles([layout.logs]);
    assert.ok(logs.files > 5, `${logs.files} logs`);
    assert.deepEqual(logs.found, []);
    // Stack and buildpacks are the distribution's; /run shows parts of the data directory once more.
    const mounted = readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .flatMap((line) => line.split(' ')[4] ?? [])
      .filter((path) => path.startsWith(`${layout.run}/`));
    const distributed = [layout.stacks, layout.buildpacks, `${platform.data}/control/blobs/buildpacks`];
    const without = [...distributed, layout.logs, platform.home, ...mounted];
    const temporary = ['/tmp', '/var/tmp', '/dev/shm'].flatMap((directory) =>
      readdirSync(directory)
        .map((name) => join(directory, name))
        .filter((path) => !path.startsWith('/tmp/cupola-') && isFileSince(path, began)),
    );
    const data = planted.inFiles([platform.data, layout.run, ...temporary], without);
    assert.ok(data.files > 100, `${data.files} files`);
    const isSealed = (found: string): boolean =>
      !UNSEALED.some((what) => found.startsWith(`${platform.data}/databases/`) && found.endsWith(`: ${what}`));
    assert.deepEqual(data.found.filter(isSealed), []);
    const uid = Number(await run('id', ['-u', 'cupola-postgres']));
    const socket = `${layout.run}/postgresql/socket`;
    const { database } = await platform.status();
    const pin = readdirSync(layout.enginePins).find((name) => name.startsWith('supervisor.'))!;
    const program = join(binDirectory(database!.version), 'pg_dump');
    const dump = await run(program, ['-h', socket, '-U', 'postgres', 'cupola'], {
      account: { uid, gid: uid },
      cwd: '/',
      within: join(layout.enginePins, pin),
    });
    assert.match(dump, /CREATE TABLE uaa\.users/);
    assert.match(dump, /hello-node/);
    const inDump = planted.in(Buffer.from(dump));
    assert.deepEqual(
      inDump.filter((what) => !UNSEALED.includes(what)),
      [],
    );
    const events = JSON.stringify(await api('GET', '/v3/audit_events?per_page=5000'));
    assert.match(events, /audit\.app\.update/);
    assert.deepEqual(planted.in(Buffer.from(events)), []);
    for (const app of ['hello-node', 'fails', 'bad-droplet', 'image']) {
      assert.deepEqual(planted.in(Buffer.from(await cf('logs', app, '--recent'))), [], app);
    }
  });

  test('SECURITY 28: no secret is in the arguments of a program, or in the environment of one of the platform', async () => {
    const processes = await ownProcesses();
    assert.ok(processes.length > 8, `${processes.length} processes`);
    assert.ok(
      processes.some(({ arguments: words }) => /^\S*conmon /.test(words)),
      'and conmon is among them',
    );
    const own = processes.map(({ pid }) => pid);
    const found = allProcesses().flatMap(({ pid, uid, arguments: words, environment }) => [
      ...(uid < platform.layout.settings.uidRangeBase ? planted.in(Buffer.from(words)) : []).map(
        (what) => `arguments of ${pid}: ${what}`,
      ),
      ...(own.includes(pid) ? planted.in(Buffer.from(environment)) : []).map(
        (what) => `environment of ${pid}: ${what}`,
      ),
    ]);
    assert.deepEqual(found, []);
  });

  test('SECURITY 28: no process of the platform can leave its memory in a file', async () => {
    for (const { pid, arguments: words } of await ownProcesses()) {
      const limit = /^Max core file size\s+(\S+)\s+(\S+)/m.exec(readFileSync(`/proc/${pid}/limits`, 'utf8'));
      assert.equal(limit?.[2], '0', words);
    }
  });

  async function ownProcesses(): Promise<Seen[]> {
    const { components, supervisor } = await platform.status();
    const roots = [...components.map(({ pid }) => pid), supervisor.pid].filter((pid) => pid !== null);
    const all = allProcesses();
    // conmon, which holds an app's processes, is nobody's child.
    const apart = all.filter(({ arguments: words }) => words.includes(platform.data)).map(({ pid }) => pid);
    const base = platform.layout.settings.uidRangeBase;
    return familyOf([...roots, ...apart], all).filter(({ uid }) => uid < base);
  }

  function appProcesses(): Seen[] {
    const base = platform.layout.settings.uidRangeBase;
    return allProcesses().filter(({ uid }) => uid >= base);
  }
});

/** Only plain files: what other programs of the machine keep in directories is not looked at. */
function isFileSince(path: string, since: number): boolean {
  try {
    const status = statSync(path);
    return status.isFile() && status.mtimeMs >= since;
  } catch {
    return false; // it went away meanwhile
  }
}
