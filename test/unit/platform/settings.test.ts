import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { saidSettings } from '../../../src/cli/up/settings-flags.ts';
import { DEFAULT_STORAGE } from '../../../src/cloud-controller/index.ts';
import { REQUEST_LIMITS } from '../../../src/cloud-controller/limits.ts';
import { ensureSettings } from '../../../src/platform/settings/ensure.ts';
import type { SettingValues } from '../../../src/platform/settings/option.ts';
import { SETTING_OPTIONS } from '../../../src/platform/settings/options.ts';
import { SETTING_NAMES } from '../../../src/platform/settings/said.ts';
import type { PlatformSettings } from '../../../src/platform/settings/schema.ts';
import { loadSettings, saveSettings } from '../../../src/platform/settings/store.ts';

const directory = mkdtempSync(join(tmpdir(), 'cupola-settings-'));
after(() => rmSync(directory, { recursive: true }));

test('what callers may ask in a minute is kept, changed at a later `up`, and no number that shuts people out is taken', async () => {
  const dataDirectory = join(directory, 'data');
  await ensureSettings({ dataDirectory, userRequests: 500 });
  await ensureSettings({ dataDirectory, anonymousRequests: 300 });
  await ensureSettings({ dataDirectory });
  assert.deepEqual(loadSettings(dataDirectory)?.requests, { perCaller: 500, perAddress: 300 });
  for (const userRequests of [0, -1, 59, 1.5, Number.NaN]) {
    const refused = { code: 'invalid_option' };
    await assert.rejects(ensureSettings({ dataDirectory, userRequests }), refused, String(userRequests));
    await assert.rejects(ensureSettings({ dataDirectory: join(directory, 'fresh'), userRequests }), refused);
  }
  assert.equal(loadSettings(dataDirectory)?.requests?.perCaller, 500);
});

test('HTTP/2 to apps is off until it is switched on, and can be switched at any `up`', async () => {
  const dataDirectory = join(directory, 'http2');
  await ensureSettings({ dataDirectory });
  assert.notEqual(loadSettings(dataDirectory)?.http2Apps, true);
  for (const http2Apps of [true, false, true]) {
    await ensureSettings({ dataDirectory, http2Apps });
    await ensureSettings({ dataDirectory });
    assert.equal(loadSettings(dataDirectory)?.http2Apps, http2Apps);
  }
});

test('a domain that is no name is refused before anything is made', async () => {
  const dataDirectory = join(directory, 'no-domain');
  for (const domain of ['a b', '10.0.0.1', 'Upper.example', '']) {
    await assert.rejects(ensureSettings({ dataDirectory, domain }), { code: 'invalid_option' }, domain);
    assert.equal(existsSync(dataDirectory), false);
  }
});

test('an installation whose domain was kept as it was written comes up with what was said at first', async () => {
  const dataDirectory = join(directory, 'earlier-domain');
  const made = await ensureSettings({ dataDirectory });
  for (const domain of ['Paas.Example', 'paas.example.', 'paas.example']) {
    saveSettings({ ...made, domain });
    assert.equal((await ensureSettings({ dataDirectory, ...saidSettings({ domain }) })).domain, domain);
    await assert.rejects(ensureSettings({ dataDirectory, domain: 'other.example' }), { code: 'settings_conflict' });
  }
});

/** Another value of each than a first `up` gives it. */
const OTHERS: SettingValues = {
  domain: 'other.example',
  bindAddress: '0.0.0.0',
  httpsPort: 8443,
  cells: 3,
  zones: 2,
  cellTags: [['x']],
  ssh: false,
  sshPort: 2200,
  http2Apps: true,
  engineSources: ['deb http://packages.example.com/haproxy trixie main'],
  unpackAhead: false,
  separateRoles: ['brain', 'ssh'],
  keyFile: '/other/key',
  stagingEnvironment: { A: '1' },
  allowedRegistries: ['a.example'],
  insecureRegistries: ['b.example:80'],
  organizationStorage: 100,
  diskReserve: 200,
  maximumAppDisk: 300,
  userRequests: 400,
  anonymousRequests: 500,
};

describe('at a later `up` each setting', () => {
  for (const name of SETTING_NAMES) {
    const { afterwards, setting } = SETTING_OPTIONS[name];
    const expected = 'kept' in afterwards ? 'is refused another value' : 'is changed where it stands';
    test(`${name} ${expected}, and nothing else is`, async () => {
      const dataDirectory = join(directory, `later-${name}`);
      const before = await ensureSettings({ dataDirectory, cells: 2 });
      const file = join(dataDirectory, 'settings.json');
      const written = readFileSync(file, 'utf8');
      const later = ensureSettings({ dataDirectory, [name]: OTHERS[name] });
      if ('kept' in afterwards) {
        const { flag } = SETTING_OPTIONS[name];
        await assert.rejects(later, { code: 'settings_conflict', message: new RegExp(`^--${flag} is [^"[]+ in /`) });
        assert.equal(readFileSync(file, 'utf8'), written);
        await ensureSettings({ dataDirectory, [name]: afterwards.kept(before) });
        assert.equal(readFileSync(file, 'utf8'), written);
        return;
      }
      const [place = '', inside] = setting.split('.');
      const value = name === 'ssh' ? null : OTHERS[name];
      const was = { ...before }[place as keyof PlatformSettings];
      const changed = inside === undefined ? value : { ...(was as object | undefined), [inside]: value };
      assert.deepEqual(await later, { ...before, [place]: changed });
      assert.deepEqual(loadSettings(dataDirectory), await later);
    });
  }

  test('can be said at the first one', async () => {
    const dataDirectory = join(directory, 'all');
    const { ssh: _, ...others } = OTHERS;
    const made = await ensureSettings({ dataDirectory, ...others });
    assert.equal(made.cells, 3);
    assert.equal(made.sshPort, 2200);
    assert.deepEqual(made.stagingEnvironment, { A: '1' });
    assert.deepEqual(made.docker, { allowedRegistries: ['a.example'], insecureRegistries: ['b.example:80'] });
    assert.deepEqual(made.storage, { perOrganization: 100, reserve: 200, maximumAppDisk: 300 });
    assert.deepEqual(made.requests, { perCaller: 400, perAddress: 500 });
    assert.equal(made.keyFile, '/other/key');
    await ensureSettings({ dataDirectory, ...others });
  });
});

test('a variable for staging is added to those before, and taken away by an empty value', async () => {
  const dataDirectory = join(directory, 'variables');
  await ensureSettings({ dataDirectory, stagingEnvironment: { A: '1', B: '2' } });
  await ensureSettings({ dataDirectory, stagingEnvironment: { A: '', C: '3' } });
  assert.deepEqual(loadSettings(dataDirectory)?.stagingEnvironment, { B: '2', C: '3' });
});

test('`cf ssh` that is switched on again has a port, which may be chosen then', async () => {
  const dataDirectory = join(directory, 'ssh');
  await ensureSettings({ dataDirectory, ssh: false });
  assert.equal(loadSettings(dataDirectory)?.sshPort, null);
  assert.equal((await ensureSettings({ dataDirectory, ssh: true, sshPort: 2201 })).sshPort, 2201);
  await ensureSettings({ dataDirectory, ssh: false });
  assert.equal((await ensureSettings({ dataDirectory, ssh: true })).sshPort, 2222);
});

test('what is said to hold unless told is what holds', () => {
  const { organizationStorage, userRequests, anonymousRequests } = SETTING_OPTIONS;
  assert.equal(organizationStorage.unlessTold, String(DEFAULT_STORAGE.perOrganizationBytes / 1024 ** 2));
  assert.equal(userRequests.unlessTold, String(REQUEST_LIMITS.caller?.limit));
  assert.equal(anonymousRequests.unlessTold, String(REQUEST_LIMITS.anonymous?.limit));
});
