import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, test } from 'node:test';
import type { LayerWanted } from '../../../src/cell/garden/garden.ts';
import { LayerUse } from '../../../src/cell/rep/layer-use.ts';
import { CupolaError } from '../../../src/kit/errors.ts';
import { fakeGarden } from '../../support/fake-garden.ts';

const directory = mkdtempSync(join(tmpdir(), 'cupola-layer-use-'));
after(() => rmSync(directory, { recursive: true }));

const source = { format: 'tar', open: async () => Readable.from([]) } as const;

/** A garden of layers on paper, whose next calls for one fail with `failures`. */
function layerUse() {
  const { garden, pretend } = fakeGarden(directory);
  const failures: CupolaError[] = [];
  const prunings: ((key: string) => boolean)[] = [];
  garden.pruneLayers = async (isKept = () => false) => void prunings.push(isKept);
  pretend.beforeLayer = async () => {
    const failure = failures.shift();
    if (failure) throw failure;
  };
  const clock = { now: 0 };
  const use = new LayerUse(garden, join(directory, 'use.json'), () => clock.now);
  const ensure = (key: string, wanted: LayerWanted = {}) =>
    use.ensureLayer(key, source, '/home/vcap', 'debian12', wanted);
  return { garden, use, ensure, failures, prunings, clock };
}

const noRoom = (text = 'no room') => new CupolaError('disk_reserved', text);

test('SECURITY 25: where the disk has no room all goes that nobody needs now, and it is tried once more', async () => {
  const { ensure, failures, prunings } = layerUse();
  await ensure('old');
  failures.push(noRoom());
  assert.deepEqual(await ensure('new'), { key: 'new' });
  assert.deepEqual(
    prunings.map((isKept) => ['old', 'new'].filter(isKept)),
    [[]],
  );
  failures.push(noRoom('once'), noRoom('again'));
  await assert.rejects(ensure('other'), { message: 'again' });
  failures.push(new CupolaError('archive_refused', 'ended with 2'));
  await assert.rejects(ensure('third'), { code: 'archive_refused' });
  assert.equal(prunings.length, 2);
});

test('who is stopped while room is made is told at once', async () => {
  const { garden, ensure, failures } = layerUse();
  garden.pruneLayers = () => new Promise(() => {});
  failures.push(noRoom());
  const stopping = new AbortController();
  const asked = ensure('new', { signal: stopping.signal });
  stopping.abort(new Error('stopped'));
  await assert.rejects(asked, /stopped/);
});

test('what is needed or was asked for lately stays, also what is asked for while others go', async () => {
  const { use, ensure, prunings, clock } = layerUse();
  const image = 'image:sha256:1';
  await ensure('buildpack');
  await ensure(image);
  clock.now += 25 * 3_600_000;
  await use.prune(['needed']);
  const [isKept] = prunings;
  const keys = ['buildpack', 'needed', 'late', image];
  assert.deepEqual(keys.filter(isKept!), ['buildpack', 'needed']);
  await ensure('late');
  assert.deepEqual(keys.filter(isKept!), ['buildpack', 'needed', 'late']);
});

test('SECURITY 25: of the layers of images those asked for last stay, however many there were', async () => {
  const { use, ensure, prunings } = layerUse();
  const image = (number: number) => `image:sha256:${number}`;
  await ensure('buildpack');
  for (let number = 0; number < 400; number += 1) {
    await ensure(image(number));
    if (number === 250) await ensure(image(0));
  }
  await use.prune([image(50)]);
  const keys = ['buildpack', image(0), image(50), image(100), image(101), image(399)];
  assert.deepEqual(keys.filter(prunings[0]!), ['buildpack', image(0), image(50), image(101), image(399)]);
});
