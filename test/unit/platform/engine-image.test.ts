import assert from 'node:assert/strict';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, test } from 'node:test';
import { knowsImages } from '../../../src/platform/engines/image/enter.ts';
import {
  choiceOf,
  chooseEngineImage,
  chosenImage,
  ensureEngineImage,
  recipeDigest,
  removeOldImages,
  rollBackEngineImage,
} from '../../../src/platform/engines/image/image.ts';
import { isLeftOut, optionsFor, PACKAGES } from '../../../src/platform/engines/image/packages.ts';
import { silentLog } from '../../support/postgresql.ts';
import { ROOT } from '../../support/project-files.ts';

const MIRRORS = { mirror: 'http://mirror.example/debian', securityMirror: 'http://mirror.example/security' };
const [USED, FORMER] = ['0123456789ab', 'ba9876543210'];
const home = mkdtempSync(join(tmpdir(), 'engine-images-'));
after(() => rmSync(home, { recursive: true }));

let directory = '';

/** Two images, as they lie once they were built. */
beforeEach(() => {
  directory = mkdtempSync(join(home, 'images-'));
  for (const digest of [USED, FORMER]) {
    mkdirSync(join(directory, digest, 'rootfs/usr/bin'), { recursive: true, mode: 0o755 });
    writeFileSync(join(directory, digest, 'rootfs/usr/bin/sleep'), digest);
    const packages = [{ name: 'nats-server', version: '2.10', architecture: 'amd64' }];
    writeFileSync(join(directory, digest, 'packages.json'), JSON.stringify({ digest, made: '2026-01-01', packages }));
  }
  writeFileSync(join(directory, `${recipeDigest()}.json`), JSON.stringify({ image: USED, former: FORMER }));
});

test('BSH-07: the engines come from stable, its security updates and, where stable has them too old, from testing', () => {
  const { sources, preferences } = optionsFor(MIRRORS, undefined);
  const signed = '[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]';
  assert.deepEqual(sources, [
    `deb ${signed} http://mirror.example/debian trixie main`,
    `deb ${signed} http://mirror.example/security trixie-security main`,
    `deb ${signed} http://mirror.example/debian testing main`,
  ]);
  assert.match(preferences ?? '', /^Package: haproxy libpcre2-8-0\nPin: version \*\nPin-Priority: 700\n/);
  assert.match(preferences ?? '', /^Pin: release o=Debian,n=trixie\*\nPin-Priority: 600$/m);
});

test('the operator’s sources stand in the place of testing, signed by the keys they name or Debian’s', () => {
  const own = 'deb [signed-by=/etc/own.gpg] https://packages.example trixie main';
  const lines = optionsFor(MIRRORS, [own, 'deb http://other.example trixie main']).sources;
  assert.equal(lines.length, 4);
  assert.equal(lines[2], own);
  assert.match(lines[3]!, /^deb \[signed-by=\/usr\/share\/keyrings\/debian-archive-keyring\.gpg\] http:\/\/other/);
});

test('no engine is among what is left out', () => {
  assert.deepEqual(Object.keys(PACKAGES).filter(isLeftOut), []);
  assert.ok(isLeftOut('libllvm19'));
  assert.ok(!isLeftOut('libpq5'));
});

test('an image that is there is not built again, and the former one is in use again after a roll-back', async () => {
  const image = await ensureEngineImage({ directory, log: silentLog });
  assert.equal(image.digest, USED);
  assert.equal(rollBackEngineImage({ directory }).digest, FORMER);
  assert.equal(chosenImage(directory, undefined)?.digest, FORMER);
  assert.deepEqual(choiceOf(directory, undefined), { image: FORMER, former: USED });
  chooseEngineImage({ directory }, { image: USED, former: null });
  assert.deepEqual(choiceOf(directory, undefined), { image: USED, former: null });
});

test('an image is taken from another directory whole', async () => {
  const own = join(home, 'own');
  const image = await ensureEngineImage({ directory: own, cache: directory, log: silentLog });
  assert.equal(readFileSync(join(image.root, 'usr/bin/sleep'), 'utf8'), USED);
  assert.deepEqual(readdirSync(own).sort(), [USED, `${recipeDigest()}.json`].sort());
});

test('an image that this version neither uses nor goes back to is removed', async () => {
  const OLD = 'abcdefabcdef';
  mkdirSync(join(directory, OLD));
  writeFileSync(join(directory, '111111111111.json'), JSON.stringify({ image: OLD, former: null }));
  writeFileSync(join(directory, 'other'), '');
  assert.deepEqual(await removeOldImages({ directory }), [OLD]);
  assert.deepEqual(readdirSync(directory).sort(), [USED, FORMER, `${recipeDigest()}.json`, 'other'].sort());
  assert.deepEqual(await removeOldImages({ directory, sources: ['deb http://other.example trixie main'] }), []);
});

test('code that knows of images is told from code of before', () => {
  assert.ok(knowsImages(join(ROOT, 'src/platform/supervisor-main.ts')));
  assert.ok(!knowsImages(join(home, 'src/platform/supervisor-main.ts')));
});

test('another recipe, or other sources, have no image yet', () => {
  assert.equal(chosenImage(directory, ['deb http://other.example trixie main']), null);
});

test('SECURITY 39: an image that others could have written is refused', () => {
  const unsafe = { code: 'engine_image_unsafe' };
  const root = join(directory, USED, 'rootfs');
  for (const path of [
    directory,
    join(directory, USED),
    root,
    join(root, 'usr'),
    join(directory, USED, 'packages.json'),
  ]) {
    chmodSync(path, 0o777);
    assert.throws(() => chosenImage(directory, undefined), unsafe, path);
    chmodSync(path, 0o755);
  }
  renameSync(root, join(directory, 'elsewhere'));
  symlinkSync(join(directory, 'elsewhere'), root);
  assert.throws(() => chosenImage(directory, undefined), unsafe);
});
