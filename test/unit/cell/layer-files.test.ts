import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { applyWhiteouts, keepOnly } from '../../../src/cell/garden/layer-files.ts';

const directory = mkdtempSync(join(tmpdir(), 'cupola-layer-'));
const { signal } = new AbortController();
after(() => rmSync(directory, { recursive: true, force: true }));

test('SECURITY 24: what an archive left outside of its destination is no part of the layer', async () => {
  const tree = join(directory, 'tree');
  mkdirSync(join(tree, 'home/vcap/app'), { recursive: true });
  mkdirSync(join(tree, 'etc'));
  for (const name of ['etc/planted', 'home/planted', 'home/vcap/planted', 'home/vcap/app/own']) {
    writeFileSync(join(tree, name), 'x');
  }
  await keepOnly(tree, ['home', 'vcap', 'app'], signal);
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
  await assert.rejects(keepOnly(join(directory, 'linked'), ['home', 'vcap'], signal), { code: 'archive_refused' });
  assert.ok(existsSync(join(outside, 'kept')));
});

test('SECURITY 25: what an archive left outside, and what a layer takes away, is worked on no longer than anybody waits', async () => {
  const tree = join(directory, 'waited-for');
  mkdirSync(join(tree, 'outside'), { recursive: true });
  const own = process.getuid!();
  await assert.rejects(keepOnly(tree, ['home'], AbortSignal.abort(new Error('stopped'))), /stopped/);
  for (const kind of ['removed', 'opaque'] as const) {
    const stopping = new AbortController();
    const paths = (function* () {
      if (kind === 'removed') yield 'first';
      stopping.abort(new Error('stopped'));
      yield `${kind}/more`;
    })();
    const whiteouts = { removed: [], opaque: [], [kind]: paths };
    await assert.rejects(applyWhiteouts(tree, whiteouts, own, stopping.signal), /stopped/);
  }
  assert.deepEqual(readdirSync(tree).sort(), ['first', 'outside']);
});

test('SECURITY 25: a whiteout whose path is too long for a file system is the fault of its image', async () => {
  const tree = join(directory, 'long');
  const own = process.getuid!();
  for (const kind of ['removed', 'opaque'] as const) {
    // The file system's longest, without the tree it is in: of the last part only the name is too much, or the directory before it.
    for (const last of ['a'.repeat(244), `${'b'.repeat(200)}/${'c'.repeat(43)}`]) {
      rmSync(tree, { recursive: true, force: true });
      mkdirSync(tree);
      const whiteouts = { removed: [], opaque: [], [kind]: [`${'d'.repeat(255)}/`.repeat(15) + last] };
      const tooLong = { code: 'image_invalid', message: /: the name of a whiteout is too long$/ };
      await assert.rejects(applyWhiteouts(tree, whiteouts, own, signal), tooLong);
    }
  }
});
