import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { keepOnly } from '../../../src/cell/garden/layer-files.ts';

const directory = mkdtempSync('/tmp/cupola-layer-');
after(() => rmSync(directory, { recursive: true, force: true }));

test('SECURITY 24: what an archive left outside of its destination is no part of the layer', async () => {
  const tree = join(directory, 'tree');
  mkdirSync(join(tree, 'home/vcap/app'), { recursive: true });
  mkdirSync(join(tree, 'etc'));
  for (const name of ['etc/planted', 'home/planted', 'home/vcap/planted', 'home/vcap/app/own']) {
    writeFileSync(join(tree, name), 'x');
  }
  await keepOnly(tree, ['home', 'vcap', 'app']);
  assert.deepEqual(readdirSync(tree), ['home']);
  assert.deepEqual(readdirSync(join(tree, 'home')), ['vcap']);
  assert.deepEqual(readdirSync(join(tree, 'home/vcap')), ['app']);
  assert.deepEqual(readdirSync(join(tree, 'home/vcap/app')), ['own']);

  // Through a link in place of the destination nothing is removed, and nothing becomes a layer.
  const outside = join(directory, 'outside');
  mkdirSync(outside);
  writeFileSync(join(outside, 'kept'), 'x');
  mkdirSync(join(directory, 'linked'));
  symlinkSync(outside, join(directory, 'linked/home'));
  await assert.rejects(keepOnly(join(directory, 'linked'), ['home', 'vcap']), { code: 'archive_refused' });
  assert.ok(existsSync(join(outside, 'kept')));
});
