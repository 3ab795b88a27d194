import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import type { LayerSource, LayerWanted } from '../../../src/cell/garden/garden.ts';
import { ImageStore } from '../../../src/cell/images/image-store.ts';
import { DockerImageSchema } from '../../../src/contracts/gen/diego_pb.js';
import { tar } from '../../support/archives.ts';
import { fakeGarden } from '../../support/fake-garden.ts';
import { silentLog } from '../../support/postgresql.ts';
import { configOf, digestOf, hostileRegistry, manifestOf } from '../../support/registry.ts';

let directory: string;
let registry: Awaited<ReturnType<typeof hostileRegistry>>;
const layer = tar([{ name: 'x', content: 'x' }]);
const config = configOf([layer]);
const manifest = manifestOf(config, [{ digest: digestOf(layer), size: layer.length }]);

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'cupola-image-store-'));
  registry = await hostileRegistry((path) => {
    if (path.includes('/manifests/')) return manifest;
    return path.endsWith(digestOf(config)) ? config : layer;
  });
});
afterEach(async () => {
  await registry.stop();
  rmSync(directory, { recursive: true });
});

/** A store whose garden keeps what it is asked for, and unpacks nothing. */
function store(ensure: (source: LayerSource, wanted: LayerWanted) => Promise<void>) {
  const { garden } = fakeGarden(directory);
  garden.ensureLayer = async (key, source, _destination, _stack, wanted = {}) => {
    await ensure(source, wanted);
    return { key };
  };
  const images = new ImageStore({
    garden,
    directory: join(directory, 'images'),
    registries: { allowed: [], insecure: ['127.0.0.1'] },
    log: silentLog,
  });
  return (repository: string, signal: AbortSignal, [username, password] = ['', '']) => {
    const reference = `${registry.host}/${repository}@${digestOf(manifest)}`;
    const image = create(DockerImageSchema, { reference, username, password });
    return images.prepare(image, 'debian12', { signal });
  };
}

test('SECURITY 32: a layer on its way is shared with who asks the same repository in the same name, and with nobody else', async () => {
  const origins: (string | undefined)[] = [];
  const prepare = store(async ({ origin }) => void origins.push(origin));
  const { signal } = new AbortController();
  await prepare('team/app', signal);
  await prepare('team/app', signal);
  await prepare('team/other', signal);
  await prepare('team/app', signal, ['reader', 'secret-one']);
  await prepare('team/app', signal, ['reader', 'secret-two']);
  assert.equal(origins[0], origins[1]);
  assert.equal(new Set(origins).size, 4);
  assert.ok(!origins.join().includes('secret'));
});

test('SECURITY 32: a start that ends takes its layers that are on their way with it, and holds those that are ready until then', async () => {
  const start = new AbortController();
  const asked = Promise.withResolvers<LayerWanted>();
  const prepare = store(
    (_source, wanted) =>
      new Promise((_resolve, reject) => {
        asked.resolve(wanted);
        wanted.signal!.addEventListener('abort', () => reject(wanted.signal!.reason));
      }),
  );
  const prepared = prepare('team/app', start.signal);
  const { signal, until } = await asked.promise;
  assert.equal(until, start.signal);
  start.abort(new Error('stopped'));
  assert.equal(signal?.aborted, true);
  await assert.rejects(prepared, /stopped/);
});
