import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, test } from 'node:test';
import { engineFindings } from '../../../src/platform/doctor/engines.ts';
import type { Finding } from '../../../src/platform/doctor/finding.ts';
import { hostFindings } from '../../../src/platform/doctor/host.ts';
import { recipeDigest } from '../../../src/platform/engines/image/image.ts';
import { layoutOf } from '../../../src/platform/layout.ts';
import { testSettings } from '../../support/settings.ts';

const DIGEST = '0123456789ab';
const NOW = Date.parse('2026-03-01T00:00:00Z');
const home = mkdtempSync(join(tmpdir(), 'doctor-engines-'));
after(() => rmSync(home, { recursive: true }));

let settings = testSettings();
let engines = '';

beforeEach(() => {
  settings = testSettings({ dataDirectory: mkdtempSync(join(home, 'data-')) });
  engines = layoutOf(settings).engines;
  mkdirSync(join(engines, DIGEST, 'rootfs/usr'), { recursive: true, mode: 0o755 });
  const packages = [{ name: 'haproxy', version: '3.2.1-1', architecture: 'amd64' }];
  const list = { digest: DIGEST, made: '2026-02-20T10:00:00Z', packages };
  writeFileSync(join(engines, DIGEST, 'packages.json'), JSON.stringify(list));
  writeFileSync(join(engines, `${recipeDigest()}.json`), JSON.stringify({ image: DIGEST, former: null }));
});

const brief = ({ what, state, found }: Finding): string => `${state} ${what}: ${found}`;

test('an image that is there, root’s and not old is fine; one of a month ago wants an update', async () => {
  assert.deepEqual((await engineFindings(settings, NOW)).map(brief), [
    `ok image: ${DIGEST}, 1 packages, haproxy 3.2.1-1`,
    'ok packages: made 2026-02-20',
  ]);
  const [, old] = await engineFindings(settings, Date.parse('2026-03-25T00:00:00Z'));
  assert.equal(brief(old!), 'warn packages: made 2026-02-20, 32 days ago');
  assert.match(old!.advice!, /engines update/);
});

test('an image that others may write is in the way', async () => {
  chmodSync(join(engines, DIGEST, 'rootfs/usr'), 0o777);
  const [finding] = await engineFindings(settings, NOW);
  assert.equal(finding!.state, 'fail');
  assert.match(finding!.found, /is not root's alone/);
});

test('no image yet is nothing amiss before anything is installed, and to be looked at after', async () => {
  assert.equal((await engineFindings(null))[0]!.state, 'ok');
  rmSync(engines, { recursive: true });
  assert.deepEqual((await engineFindings(settings)).map(brief), ['warn image: of this version none yet']);
});

test('of distributions the one that was tried is fine, its kin to be looked at, and others fail, as do programs outside of /usr', () => {
  const machine = (release: string, merged = true): string[] => {
    const root = mkdtempSync(join(home, 'root-'));
    mkdirSync(join(root, 'etc'));
    writeFileSync(join(root, 'etc/os-release'), release);
    for (const name of ['bin', 'sbin', 'lib']) {
      if (merged) symlinkSync(`usr/${name}`, join(root, name));
      else mkdirSync(join(root, name));
    }
    return hostFindings(root).map(brief);
  };
  assert.deepEqual(machine('PRETTY_NAME="Debian 12"\nID=debian\nVERSION_ID="12"\n'), [
    'ok distribution: Debian 12',
    'ok programs: below /usr',
  ]);
  const ubuntu = machine('PRETTY_NAME="Ubuntu 24.04"\nID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\n');
  assert.match(ubuntu[0]!, /^warn distribution: Ubuntu 24\.04, where it was not tried/);
  assert.match(
    machine('PRETTY_NAME=Fedora\nID=fedora\nVERSION_ID=44\n', false).join('\n'),
    /^fail .*\nfail programs: no links into \/usr: \/bin, \/sbin, \/lib$/,
  );
});
