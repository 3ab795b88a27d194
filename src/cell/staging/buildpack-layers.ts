import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import type { Buildpack } from '../../contracts/gen/diego_pb.js';
import { unlessAborted } from '../../kit/abort.ts';
import type { Garden, Layer, LayerSource, LayerWanted } from '../garden/garden.ts';
import { digesting, readableSize } from './digest.ts';
import { required, type StagingBlobs, type StagingLog } from './transfers.ts';

/** A buildpack's zip on this machine, which no staging asked for yet. */
export interface LocalBuildpack {
  file: string;
  /** Hexadecimal. */
  sha256: string;
  stack: string;
}

/** The directory of a buildpack below /tmp/buildpacks: named by content where that is known, so that it can be ready before. */
export function buildpackDirectory(buildpack: Buildpack): string {
  return directoryNamed(buildpack.blob?.sha256 || buildpack.key);
}

function directoryNamed(text: string): string {
  return createHash('md5').update(text).digest('hex');
}

/** Unpacks a buildpack ahead of the first staging that needs it. */
export async function prepareBuildpack(garden: Garden, { file, sha256, stack }: LocalBuildpack): Promise<void> {
  const check = async (path: string) => {
    const { stream } = digesting({ expected: sha256 });
    stream.resume();
    await pipeline(createReadStream(path), stream);
  };
  await ensure(garden, directoryNamed(sha256), { format: 'zip', origin: 'local', file, check }, stack);
}

/** Whether the container fetches it by itself, from the address that is its name. */
export function isCustom(buildpack: Buildpack): boolean {
  return buildpack.blob === undefined;
}

/**
 * Fetches and unpacks a buildpack unless this cell has it. It stays until `until` aborts, and whoever asked waits no longer; what was
 * begun goes on for the others.
 */
export async function buildpackLayer(
  { garden, blobs }: { garden: Garden; blobs: StagingBlobs },
  buildpack: Buildpack,
  stack: string,
  say: StagingLog,
  until: AbortSignal,
): Promise<Layer> {
  const blob = required(buildpack.blob, 'buildpack');
  const tell = (line: string) => {
    if (!until.aborted) say(line);
  };
  const open = async (signal: AbortSignal) => {
    tell(`Downloading ${buildpack.name}...`);
    const checked = digesting({ expected: blob.sha256 });
    const body = await blobs.fetch(blob, signal);
    pipeline(body, checked.stream).then(
      () => tell(`Downloaded ${buildpack.name} (${readableSize(checked.info().bytes)})`),
      () => {}, // the reader of the stream meets the error
    );
    return checked.stream;
  };
  // Not the URL, which is each staging's own: they share one download, and none is given up when one of them is cancelled.
  const source: LayerSource = { format: 'zip', origin: 'blobstore', open };
  return unlessAborted(ensure(garden, buildpackDirectory(buildpack), source, stack, { until }), until);
}

function ensure(
  garden: Garden,
  directory: string,
  source: LayerSource,
  stack: string,
  wanted: LayerWanted = {},
): Promise<Layer> {
  return garden.ensureLayer(`buildpack-${directory}`, source, `/tmp/buildpacks/${directory}`, stack, wanted);
}
