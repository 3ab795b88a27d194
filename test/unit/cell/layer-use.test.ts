import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, test } from 'node:test';
import { LayerUse } from '../../../src/cell/rep/layer-use.ts';
import { CupolaError } from '../../../src/kit/errors.ts';
import { fakeGarden } from '../../support/fake-garden.ts';

const directory = mkdtempSync(join(tmpdir(), 'cupola-layer-use-'));
after(() => rmSync(directory, { recursive: true }));

const source = { format: 'tar', open: async () => Readable.from([]) } as const;

test('where the disk has no room what nobody asked for lately goes, and it is tried once more', async () => {
  const { garden, pretend } = fakeGarden(directory);
  const kept: (readonly string[])[] = [];
  garden.pruneLayers = async (keep) => void kept.push(keep);
  let now = 0;
  const use = new LayerUse(garden, join(directory, 'use.json'), () => now);
  const ensure = (key: string) => use.ensureLayer(key, source, '/home/vcap', 'debian12');
  await ensure('old');
  now += 3_600_000;
  await ensure('young');
  now += 30_000;
  const failures = [new CupolaError('disk_reserved', 'no room')];
  pretend.beforeLayer = async () => {
    const failure = failures.shift();
    if (failure) throw failure;
  };
  assert.deepEqual(await ensure('new'), { key: 'new' });
  assert.deepEqual(kept, [['young', 'new']]);
  failures.push(...['once', 'again'].map((text) => new CupolaError('disk_reserved', text)));
  await assert.rejects(ensure('other'), { message: 'again' });
  failures.push(new CupolaError('archive_refused', 'ended with 2'));
  await assert.rejects(ensure('third'), { code: 'archive_refused' });
  assert.equal(kept.length, 2);
});
