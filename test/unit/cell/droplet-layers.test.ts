import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import type { Layer } from '../../../src/cell/garden/garden.ts';
import { DropletLayers } from '../../../src/cell/rep/droplets.ts';
import type { KeptDroplets } from '../../../src/cell/rep/kept-droplets.ts';
import { BlobSchema } from '../../../src/contracts/gen/diego_pb.js';
import { CupolaError } from '../../../src/kit/errors.ts';
import { eventually } from '../../support/fake-control.ts';
import { fakeGarden } from '../../support/fake-garden.ts';
import { directory, eachTestHasKeptDroplets, files, infoOf, keep, lines, opened } from '../../support/kept-droplets.ts';

eachTestHasKeptDroplets();

const wanted = new AbortController().signal;

/** Layers of a cell whose blobstore has this droplet. */
function layersOf(
  kept: KeptDroplets,
  content: Buffer,
  make?: (source: { open(signal: AbortSignal): Promise<Readable> }) => Promise<Layer>,
) {
  const { garden, pretend } = fakeGarden(directory);
  if (make) garden.ensureLayer = (_key, source) => make('open' in source ? source : assert.fail());
  const fetched: string[] = [];
  const blobs = {
    fetch: async ({ url }: { url: string }) => {
      fetched.push(url);
      return Readable.from([content]);
    },
    upload: async () => {},
  };
  const { sha256 } = infoOf(content);
  const told: number[] = [];
  const layers = new DropletLayers(garden, blobs, kept);
  const blob = create(BlobSchema, { url: 'droplet', sha256 });
  const ensure = () => layers.ensure(blob, 'debian12', { fetched: (bytes) => told.push(bytes) });
  return { ensure, fetched, told, layer: () => pretend.layers.get(sha256), pretend, sha256 };
}

test('a kept droplet becomes its layer without being fetched, which nobody is told, and its file goes', async () => {
  const kept = await opened();
  const content = Buffer.alloc(2_000_000, 'droplet');
  const { ensure, fetched, told, layer, pretend, sha256 } = layersOf(kept, content);
  await keep(kept, content);
  assert.deepEqual(await ensure(), { key: sha256 });
  assert.ok(content.equals(layer()!));
  assert.deepEqual({ fetched, told, kept: kept.has(sha256) }, { fetched: [], told: [], kept: false });
  await eventually('its file is gone', () => files().length === 0);
  pretend.layers.clear();
  await ensure();
  assert.deepEqual(
    { fetched, told },
    { fetched: ['droplet'], told: [2_000_000] },
    'from then on the layer is all there is',
  );
});

test('the file of a droplet whose layer is there goes too', async () => {
  const kept = await opened();
  const content = Buffer.alloc(100);
  const { ensure, fetched, sha256 } = layersOf(kept, content);
  await ensure();
  await keep(kept, content);
  await ensure();
  assert.deepEqual({ fetched, kept: kept.has(sha256) }, { fetched: ['droplet'], kept: false });
});

for (const [what, damage] of Object.entries({
  damaged: (path: string) => writeFileSync(path, Buffer.alloc(2_000_000, 'drOplet')),
  cut: (path: string) => writeFileSync(path, Buffer.alloc(1_000, 'droplet')),
  gone: (path: string) => rmSync(path),
})) {
  test(`a kept file that is ${what} is dropped, and the droplet fetched`, async () => {
    const kept = await opened();
    const content = Buffer.alloc(2_000_000, 'droplet');
    const { ensure, fetched, told, layer, sha256 } = layersOf(kept, content);
    await keep(kept, content);
    damage(join(directory, files()[0]!));
    const both = await Promise.all([ensure(), ensure()]);
    assert.deepEqual(both, [{ key: sha256 }, { key: sha256 }]);
    assert.ok(content.equals(layer()!));
    assert.ok(fetched.length > 0 && told.includes(2_000_000));
    assert.equal(kept.has(sha256), false);
    assert.match(lines.join(), /"level":"warn".*fetched after all/);
    await eventually('its file is gone', () => files().length === 0);
  });
}

for (const [what, error, truth] of [
  ['is no archive', new CupolaError('archive_refused', 'ended with 2'), 'whole'],
  ['finds no container', new CupolaError('containers_exhausted', 'no more'), 'whole'],
  ['finds no directory for its layer', Object.assign(new Error('none'), { code: 'ENOENT' }), 'whole'],
  ['was damaged so that it is no archive any more', new CupolaError('archive_refused', 'ended with 2'), 'damaged'],
] as const) {
  test(`a kept droplet that ${what} is ${truth === 'whole' ? 'not fetched for that' : 'fetched'}`, async () => {
    const kept = await opened();
    const content = Buffer.alloc(2_000_000, 'droplet');
    const { ensure, fetched, pretend, sha256 } = layersOf(kept, content, async (source) => {
      (await source.open(wanted)).destroy();
      throw error;
    });
    await keep(kept, content);
    if (truth === 'damaged') {
      writeFileSync(join(directory, files()[0]!), Buffer.alloc(2_000_000, 'drOplet'));
    }
    await assert.rejects(ensure(), error);
    assert.deepEqual(fetched, truth === 'damaged' ? ['droplet'] : []);
    assert.deepEqual([pretend.layers.size, kept.has(sha256)], [0, false]);
    await eventually('its file is gone', () => files().length === 0);
  });
}

test('a droplet whose unpacking failed and whose kept file went meanwhile is fetched', async () => {
  const kept = await opened();
  const content = Buffer.alloc(100, 'droplet');
  const made: Layer[] = [];
  const { ensure, fetched, sha256 } = layersOf(kept, content, async (source) => {
    (await source.open(wanted)).destroy();
    if (fetched.length === 0) {
      kept.drop(sha256);
      throw new CupolaError('archive_refused', 'ended with 2');
    }
    made.push({ key: sha256 });
    return made[0]!;
  });
  await keep(kept, content);
  assert.equal(await ensure(), made[0]);
  assert.deepEqual(fetched, ['droplet']);
});
