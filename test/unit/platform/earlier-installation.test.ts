import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { Sealer } from '../../../src/kit/crypto.ts';
import { identify } from '../../../src/kit/process.ts';
import { ComponentCertificates } from '../../../src/platform/certificates.ts';
import { ensureSecrets } from '../../../src/platform/ensure-secrets.ts';
import { readProcesses, readRestarts, writeProcesses, writeRestarts } from '../../../src/platform/processes.ts';
import { readCredentials } from '../../../src/platform/secrets.ts';
import { ensureSettings } from '../../../src/platform/settings/ensure.ts';
import { loadSettings } from '../../../src/platform/settings/store.ts';
import { testSecrets } from '../../support/component-parts.ts';
import { ROOT } from '../../support/project-files.ts';

/** Files as an earlier version wrote them: two cells, most options set, roots on their way out. Of no installation that there is. */
const EARLIER = join(ROOT, 'test/fixtures/earlier-installation');
const scratch = mkdtempSync(join(tmpdir(), 'cupola-earlier-'));
after(() => rmSync(scratch, { recursive: true }));

function earlier(name: string): string {
  const directory = join(scratch, name);
  mkdirSync(directory);
  for (const file of readdirSync(EARLIER)) copyFileSync(join(EARLIER, file), join(directory, file));
  return directory;
}

/** As the very first version wrote them. */
const FIRST = {
  id: 'abc',
  dataDirectory: '/var/lib/cupola',
  keyFile: '/var/lib/cupola/key',
  domain: 'cupola.localhost',
  bindAddress: '127.0.0.1',
  httpsPort: 443,
  httpPort: 80,
  cells: 1,
  ports: { control: 10_001, rpc: 10_002, nats: 10_003, rep: [10_004], proxy: [10_005] },
  overlay: '10.203',
  gateway: '169.254.4.1',
  resolverAddress: '127.0.53.4',
  uidRangeBase: 403_701_760,
  adminUser: 'admin',
};

describe('what an earlier version wrote', () => {
  test('its settings are read as they are, and an `up` that says nothing leaves the file alone', async () => {
    const dataDirectory = earlier('settings');
    const file = join(dataDirectory, 'settings.json');
    const written = readFileSync(file, 'utf8');
    const expected = { ...JSON.parse(written), dataDirectory, keyFile: join(dataDirectory, 'key') };
    assert.deepEqual(loadSettings(dataDirectory), expected);
    assert.deepEqual(await ensureSettings({ dataDirectory }), expected);
    assert.equal(readFileSync(file, 'utf8'), written);
  });

  test('an earlier version finds in the settings what it wrote there, after options were changed', async () => {
    const dataDirectory = earlier('back');
    const before = loadSettings(dataDirectory)!;
    await ensureSettings({ dataDirectory, diskReserve: 1024, insecureRegistries: ['r.example:80'], ssh: false });
    assert.deepEqual(JSON.parse(readFileSync(join(dataDirectory, 'settings.json'), 'utf8')), {
      ...before,
      storage: { reserve: 1024 },
      docker: { allowedRegistries: ['registry.example:5000'], insecureRegistries: ['r.example:80'] },
      sshPort: null,
    });
  });

  test('settings that it does not know are kept for the version that does', async () => {
    const dataDirectory = earlier('later');
    const file = join(dataDirectory, 'settings.json');
    writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), ofTomorrow: { a: 1 } }));
    await ensureSettings({ dataDirectory, http2Apps: true });
    assert.deepEqual(JSON.parse(readFileSync(file, 'utf8')).ofTomorrow, { a: 1 });
  });

  test('its secrets open with its key, and are not written anew', async () => {
    const dataDirectory = earlier('secrets');
    const settings = loadSettings(dataDirectory)!;
    const sealed = readFileSync(join(dataDirectory, 'secrets.json'), 'utf8');
    const secrets = await ensureSecrets(settings);
    assert.equal(secrets.rotation?.phase, 'retiring');
    assert.match(secrets.sshHostKey, /PRIVATE KEY/);
    assert.equal(Buffer.from(secrets.databaseKey, 'base64').length, 32);
    assert.equal(readFileSync(join(dataDirectory, 'secrets.json'), 'utf8'), sealed);
    const { api, password, ca_cert } = await readCredentials(settings);
    assert.equal(api, 'https://api.earlier.example:8443');
    assert.equal(password, secrets.adminPassword);
    assert.equal(ca_cert.match(/BEGIN CERTIFICATE/g)?.length, 2, 'both roots');
  });

  test('its notes of processes, restarts and certificates are read', async () => {
    const directory = earlier('notes');
    const file = join(directory, 'processes.json');
    assert.deepEqual(readProcesses(file), {}, 'none of them runs any more');
    const own = identify(process.pid)!;
    const notes = JSON.parse(readFileSync(file, 'utf8'));
    writeFileSync(file, JSON.stringify({ ...notes, control: { ...notes.control, ...own }, 'router 4711': own }));
    const { fingerprint } = notes.control;
    assert.deepEqual(readProcesses(file), { control: { ...own, fingerprint }, 'router 4711': own });
    assert.deepEqual(readRestarts(join(directory, 'restarts.json')), { control: 2, router: 0 });
    const secrets = await testSecrets();
    const certificates = new ComponentCertificates(() => secrets, join(directory, 'certificates.json'));
    assert.deepEqual(
      certificates.expiries().map(({ name }) => name),
      [
        ...['platform-root', 'instance-identity-root', 'instance-identity-intermediate', 'router-root'],
        ...['control', 'cell-0'],
      ],
    );
  });

  test('what is written down of processes is what it was', () => {
    const file = join(scratch, 'written.json');
    const own = { ...identify(process.pid)!, fingerprint: 'abc' };
    writeProcesses(file, { control: own });
    assert.deepEqual(JSON.parse(readFileSync(file, 'utf8')), { control: own });
    writeRestarts(file, { control: 3 });
    assert.deepEqual(JSON.parse(readFileSync(file, 'utf8')), { control: 3 });
  });

  test('the settings of the very first version are read, with what it did not know', async () => {
    const dataDirectory = join(scratch, 'first');
    mkdirSync(dataDirectory);
    writeFileSync(join(dataDirectory, 'settings.json'), JSON.stringify(FIRST));
    const own = { dataDirectory, keyFile: join(dataDirectory, 'key') };
    const unknown = { zones: 1, cellTags: [], sshPort: null };
    const loaded = loadSettings(dataDirectory);
    assert.deepEqual(loaded, { ...FIRST, ...unknown, ...own, ports: { ...FIRST.ports, ssh: 0 } });
    const { sshPort, ports } = await ensureSettings({ dataDirectory });
    assert.equal(sshPort, 2222, '`cf ssh` is decided on at the next `up`');
    assert.notEqual(ports.ssh, 0);
    assert.deepEqual(loadSettings(dataDirectory)?.ports, ports);
  });

  test('secrets from before roots were replaced and SSH was there are completed', async () => {
    const dataDirectory = earlier('first-secrets');
    const settings = loadSettings(dataDirectory)!;
    const { rotation: _, sshHostKey: __, ...first } = await testSecrets();
    const key = Buffer.from(readFileSync(settings.keyFile, 'utf8').trim(), 'base64');
    const sealed = new Sealer([{ label: 'file', key }]).seal(JSON.stringify(first), 'platform-secrets');
    const text = JSON.stringify({ keyLabel: sealed.keyLabel, data: sealed.data.toString('base64') });
    writeFileSync(join(dataDirectory, 'secrets.json'), text);
    const secrets = await ensureSecrets(settings);
    assert.equal(secrets.rotation, null);
    assert.match(secrets.sshHostKey, /PRIVATE KEY/);
    assert.equal((await ensureSecrets(settings)).sshHostKey, secrets.sshHostKey, 'it was kept');
    assert.deepEqual(secrets.platformRoot, first.platformRoot);
  });
});
