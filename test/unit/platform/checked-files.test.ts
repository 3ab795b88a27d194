import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { Sealer } from '../../../src/kit/crypto.ts';
import { Logger } from '../../../src/kit/log.ts';
import { identify } from '../../../src/kit/process.ts';
import { ComponentCertificates } from '../../../src/platform/certificates.ts';
import { ensureSecrets } from '../../../src/platform/ensure-secrets.ts';
import { layoutOf } from '../../../src/platform/layout.ts';
import { Listeners } from '../../../src/platform/listeners.ts';
import { readProcesses, readRestarts } from '../../../src/platform/processes.ts';
import { loadSettings } from '../../../src/platform/settings/store.ts';
import { readStagingEnvironment } from '../../../src/platform/staging-environment.ts';
import { shownBuildpacks } from '../../../src/platform/system-buildpacks.ts';
import { testSecrets } from '../../support/component-parts.ts';
import { ROOT } from '../../support/project-files.ts';
import { testSettings } from '../../support/settings.ts';

const directory = mkdtempSync(join(tmpdir(), 'cupola-checked-'));
after(() => rmSync(directory, { recursive: true }));
const layout = layoutOf(testSettings({ dataDirectory: directory }));
const SETTINGS = JSON.parse(readFileSync(join(ROOT, 'test/fixtures/earlier-installation/settings.json'), 'utf8'));

/** What is said of a file with this content. */
function refusal(name: string, content: unknown, read: (file: string) => unknown): string {
  const file = join(directory, name);
  writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content));
  let said = '';
  assert.throws(
    () => read(file),
    (error: Error & { code?: string }) => {
      assert.equal(error.code, 'invalid_file');
      assert.ok(error.message.includes(file), error.message);
      said = error.message.slice(error.message.indexOf(file) + file.length);
      return true;
    },
  );
  return said;
}

describe('a file that is not as declared is refused, and the field is named', () => {
  test('settings.json', () => {
    const read = (content: unknown): string => refusal('settings.json', content, () => loadSettings(directory));
    assert.equal(read({ ...SETTINGS, cells: 9 }), ': cells must be <= 8');
    assert.equal(read({ ...SETTINGS, cells: '2' }), ': cells must be integer');
    assert.equal(read({ ...SETTINGS, sshPort: 'on' }), ': sshPort must be integer or must be null');
    assert.equal(read({ ...SETTINGS, ports: { ...SETTINGS.ports, nats: 70_000 } }), ': ports.nats must be <= 65535');
    assert.equal(read({ ...SETTINGS, ports: { ...SETTINGS.ports, rep: ['x'] } }), ': ports.rep.0 must be integer');
    assert.equal(read({ ...SETTINGS, storage: { reserve: -1 } }), ': storage.reserve must be >= 1');
    assert.equal(read({ ...SETTINGS, id: '../x' }), ': id must match pattern "^[a-z]{3}$"');
    const { domain: _, ...without } = SETTINGS;
    assert.equal(read(without), ': domain is missing');
    assert.equal(read({}), ': ports is missing');
    assert.equal(read([]), ': the whole must be object');
    assert.equal(read('{"id": "abc"'), ' is no JSON: malformed');
    assert.equal(read(''), ': the whole must be object');
    rmSync(join(directory, 'settings.json'));
  });

  test('the notes of processes, restarts and certificates', async () => {
    const secrets = await testSecrets();
    assert.equal(
      refusal('processes.json', { control: { pid: '12', startTicks: '3' } }, readProcesses),
      ': control.pid must be integer',
    );
    assert.equal(refusal('processes.json', { nats: { pid: 12 } }, readProcesses), ': nats.startTicks is missing');
    assert.equal(refusal('restarts.json', { control: 'often' }, readRestarts), ': control must be integer');
    assert.equal(
      refusal('certificates.json', { control: null }, (file) => new ComponentCertificates(() => secrets, file)),
      ': control must be string',
    );
  });

  test('what staging is told, and the list of buildpacks', () => {
    const buildpack = { name: 'x_buildpack', position: 1, stack: 's', file: '/x.zip', sha256: 'y', version: '1' };
    assert.equal(
      refusal('staging-environment.json', { A: 1 }, () => readStagingEnvironment(layout)),
      ': A must be string',
    );
    const list = [buildpack, { ...buildpack, position: 'second' }];
    assert.equal(
      refusal('buildpacks.json', list, () => shownBuildpacks(layout)),
      ': 1.position must be integer',
    );
    writeFileSync(join(directory, 'buildpacks.json'), JSON.stringify([buildpack]));
    const { version: _, ...shown } = buildpack;
    assert.deepEqual(shownBuildpacks(layout), [shown]);
  });

  test('SECURITY 28: secrets, and no word of them is repeated', async () => {
    const planted = 'planted-words-of-a-secret';
    copyFileSync(join(ROOT, 'test/fixtures/earlier-installation/key'), layout.settings.keyFile);
    const key = Buffer.from(readFileSync(layout.settings.keyFile, 'utf8').trim(), 'base64');
    const refused = async (text: string, expected: RegExp): Promise<void> => {
      const { keyLabel, data } = new Sealer([{ label: 'file', key }]).seal(text, 'platform-secrets');
      writeFileSync(layout.secretsFile, JSON.stringify({ keyLabel, data: data.toString('base64') }));
      await assert.rejects(ensureSecrets(layout.settings), (error: Error & { code?: string }) => {
        assert.equal(error.code, 'invalid_file');
        assert.match(error.message, expected);
        for (let cause: unknown = error; cause instanceof Error; cause = cause.cause)
          assert.ok(!cause.message.includes('planted'), cause.message);
        return true;
      });
    };
    const secrets = { ...(await testSecrets()), adminPassword: planted };
    await refused(JSON.stringify({ ...secrets, databaseKey: 7 }), /seals: databaseKey must be string$/);
    await refused(JSON.stringify({ ...secrets, clientSecrets: { admin: planted } }), /clientSecrets\.\w+ is missing$/);
    await refused(JSON.stringify({ ...secrets, rotation: { phase: planted } }), /seals: rotation/);
    await refused(`{"adminPassword": ${planted}`, /seals is no JSON: malformed$/);
    writeFileSync(layout.secretsFile, JSON.stringify({ keyLabel: 'file' }));
    await assert.rejects(ensureSecrets(layout.settings), /secrets\.json: data is missing$/);
  });

  test('the list of listening sockets: they are opened anew, and the log says why', () => {
    const lines: string[] = [];
    const log = new Logger('test', {}, (line) => lines.push(line));
    const file = join(directory, 'listeners.json');
    writeFileSync(file, JSON.stringify(['127.0.0.1|1', 2]));
    const listeners = new Listeners([{ address: '127.0.0.1', port: 1 }], file);
    assert.equal(listeners.adopt(identify(process.pid), log), false);
    assert.match(lines.join(), /1 must be string/);
  });
});
