import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import type { Garden } from '../../../src/cell/garden/garden.ts';
import { LayerCache, MAKING_MS } from '../../../src/cell/garden/layers.ts';
import { buildpackDirectory, buildpackLayer, prepareBuildpack } from '../../../src/cell/staging/buildpack-layers.ts';
import type { StagingBlobs } from '../../../src/cell/staging/transfers.ts';
import { BuildpackSchema } from '../../../src/contracts/gen/diego_pb.js';
import { unlessAborted } from '../../../src/kit/abort.ts';
import { eventually } from '../../support/fake-control.ts';
import { fakeGarden } from '../../support/fake-garden.ts';
import { infoOf } from '../../support/kept-droplets.ts';
import { silentLog } from '../../support/postgresql.ts';

const GIB = 1024 ** 3;
const CONTENT = Buffer.from('a zip');
const { sha256 } = infoOf(CONTENT);
const buildpack = create(BuildpackSchema, {
  name: 'ruby_buildpack',
  key: 'ruby',
  blob: { url: 'https://blobstore/ruby', sha256 },
});
const layer = { key: `buildpack-${buildpackDirectory(buildpack)}` };

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'cupola-buildpack-layers-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** A cell's garden with a cache of layers whose unpacking reads its source, and stagings that fetch by `fetch`. */
function cell(fetch: StagingBlobs['fetch']) {
  const layers = new LayerCache({
    directory,
    unpack: async (_directory, { source }, signal) => {
      if ('open' in source) await buffer(await unlessAborted(source.open(signal), signal));
      else await source.check(source.file);
    },
    limits: { memoryBytes: GIB, diskBytes: GIB, pids: 64, cpuShares: 1024 },
    hasRoom: async () => true,
    log: silentLog,
  });
  const garden: Garden = { ...fakeGarden(directory).garden, ensureLayer: (...order) => layers.ensure(...order) };
  const blobs: StagingBlobs = { fetch, upload: async () => {} };
  const lines: string[] = [];
  const say = (line: string) => void lines.push(line);
  const stage = ({ signal } = new AbortController()) =>
    buildpackLayer({ garden, blobs }, buildpack, 'debian12', say, signal);
  return { garden, stage, lines };
}

test('a staging fetches the buildpack that a cell fails to unpack from its own disk as it starts', async () => {
  const { garden, stage } = cell(async () => Readable.from([CONTENT]));
  const file = join(directory, 'local.zip');
  writeFileSync(file, 'damaged');
  const preparing = prepareBuildpack(garden, { file, sha256, stack: 'debian12' });
  const staged = stage();
  await assert.rejects(preparing, { code: 'blob_digest_mismatch' });
  assert.deepEqual(await staged, layer);
});

test('stagings that begin at once download a buildpack once', async () => {
  const { stage, lines } = cell(async () => Readable.from([CONTENT]));
  assert.deepEqual(await Promise.all([stage(), stage()]), [layer, layer]);
  await eventually('it was downloaded', () => lines.length === 2);
  assert.match(lines[0]!, /^Downloading ruby_buildpack/);
});

test('SECURITY 32: a download that the blobstore does not answer ends with the time that its layer has', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const asked = Promise.withResolvers<AbortSignal>();
  const { stage } = cell((_blob, signal) => {
    asked.resolve(signal);
    return new Promise(() => {});
  });
  const staged = stage();
  const signal = await asked.promise;
  t.mock.timers.tick(MAKING_MS);
  await assert.rejects(staged, { code: 'layer_too_slow' });
  assert.equal(signal.aborted, true);
});

test('SECURITY 32: a staging that is cancelled waits for no buildpack, and another gets what it began to download', async (t) => {
  const [asked, answered] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  t.after(() => answered.resolve());
  let downloads = 0;
  const { stage, lines } = cell(async () => {
    downloads += 1;
    asked.resolve();
    await answered.promise;
    return Readable.from([CONTENT]);
  });
  const cancelling = new AbortController();
  const cancelled = stage(cancelling);
  const other = stage();
  await asked.promise;
  cancelling.abort(new Error('cancelled'));
  await assert.rejects(Promise.race([cancelled, setTimeout(1000, 'it waits', { ref: false })]), /cancelled/);
  answered.resolve();
  assert.deepEqual(await other, layer);
  assert.equal(downloads, 1);
  assert.deepEqual(lines, ['Downloading ruby_buildpack...'], 'its log has ended');
});
