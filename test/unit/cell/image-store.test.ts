import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { create } from '@bufbuild/protobuf';
import type { LayerSource, LayerWanted } from '../../../src/cell/garden/garden.ts';
import { ImageStore } from '../../../src/cell/images/image-store.ts';
import { LayerUse } from '../../../src/cell/rep/layer-use.ts';
import { DockerImageSchema } from '../../../src/contracts/gen/diego_pb.js';
import { CupolaError } from '../../../src/kit/errors.ts';
import { tar } from '../../support/archives.ts';
import { eventually } from '../../support/fake-control.ts';
import { fakeGarden } from '../../support/fake-garden.ts';
import { silentLog } from '../../support/postgresql.ts';
import { configOf, digestOf, hostileRegistry, manifestOf } from '../../support/registry.ts';

let directory: string;
let registry: Awaited<ReturnType<typeof hostileRegistry>>;
/** Of its layer: in which repositories it was asked for, and what it answers. */
let askedIn: string[];
let answers: (Buffer | null)[];
/** More than fits between its registry and whoever reads it. */
const layer = tar([{ name: 'x', content: Buffer.alloc(4 * 1024 ** 2) }]);
const config = configOf([layer]);
/** The layer as it travels. */
let blob: Buffer;
let manifest: Buffer;

function serve(served: Buffer): void {
  blob = served;
  manifest = manifestOf(config, [{ digest: digestOf(blob), size: blob.length }]);
}

beforeEach(async () => {
  serve(layer);
  directory = mkdtempSync(join(tmpdir(), 'cupola-image-store-'));
  askedIn = [];
  answers = [];
  registry = await hostileRegistry((path) => {
    if (path.includes('/manifests/')) return manifest;
    if (path.endsWith(digestOf(config))) return config;
    askedIn.push(/^\/v2\/(.+)\/blobs\//.exec(path)?.[1] ?? path);
    const [answer = blob] = answers.splice(0, 1);
    return answer;
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
    garden: new LayerUse(garden, join(directory, 'use.json'), Date.now),
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

/** What a garden does for whoever asks: the first one's source is read to its end, and the others wait for that. */
function sharedMaking(signal: AbortSignal) {
  let making: Promise<unknown> | undefined;
  return async (source: LayerSource): Promise<void> => {
    assert.ok('open' in source);
    making ??= source.open(signal).then(buffer);
    await making;
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

test('SECURITY 24: what began to come is no proof: a layer that another made meanwhile is given only to who can show its last byte', async () => {
  const { signal } = new AbortController();
  let calls = 0;
  const prepare = store(async (source) => {
    calls += 1;
    if (calls > 1) return; // another's is ready by now
    assert.ok('open' in source);
    const stream = await source.open(signal);
    await once(stream, 'readable');
    stream.destroy();
    throw new CupolaError('disk_reserved', 'the disk has no room for another layer');
  });
  answers = [layer, null];
  await assert.rejects(prepare('theirs/app', signal), { code: 'image_not_found' });
  assert.equal(calls, 2);
  answers = [Buffer.alloc(layer.length)];
  await assert.rejects(prepare('theirs/app', signal), { code: 'blob_digest_mismatch' });
  await prepare('theirs/app', signal);
  assert.equal(askedIn.length, 4);
});

test('starts of one image at a time fetch it once, and those of another repository that has the same layer once more', async () => {
  const { signal } = new AbortController();
  const prepare = store(sharedMaking(signal));
  const eight = (repository: string) => Promise.all(Array.from({ length: 8 }, () => prepare(repository, signal)));
  const first = await eight('team/app');
  assert.deepEqual(askedIn, ['team/app']);
  assert.deepEqual(first.map(({ fetchedBytes }) => fetchedBytes).sort(), [...Array(7).fill(0), layer.length]);
  await eight('team/other');
  assert.deepEqual(askedIn, ['team/app', 'team/other']);
});

test('what follows the compressed part of a layer is read as well: its last byte is the layer’s proof', async () => {
  const { signal } = new AbortController();
  const wrong = Buffer.concat([gzipSync(layer), Buffer.alloc(1024 ** 2)]);
  serve(Buffer.from(wrong));
  wrong[wrong.length - 1] = 1;
  answers = [wrong];
  await assert.rejects(store(sharedMaking(signal))('team/app', signal), { code: 'blob_digest_mismatch' });
  assert.equal(askedIn.length, 1);
  await store(sharedMaking(signal))('team/app', signal);
  assert.equal(askedIn.length, 2);
});

test('a layer that is opened and not read any more is closed', async () => {
  const { signal } = new AbortController();
  serve(Buffer.alloc(32 * 1024 ** 2));
  const prepare = store(async (source) => {
    assert.ok('open' in source);
    (await source.open(signal)).destroy();
    throw new Error('no room');
  });
  await assert.rejects(prepare('team/app', signal), /no room/);
  await eventually('its connection is closed', async () => (await registry.connections()) === 0);
});

test('SECURITY 24: the proof of one origin is none of another’s, while the process remembers it', async () => {
  const { signal } = new AbortController();
  const prepare = store(sharedMaking(signal));
  await prepare('team/app', signal);
  for (const answer of [null, Buffer.alloc(layer.length)]) {
    answers = [answer];
    await assert.rejects(prepare('theirs/app', signal));
  }
  assert.deepEqual(askedIn, ['team/app', 'theirs/app', 'theirs/app']);
});
