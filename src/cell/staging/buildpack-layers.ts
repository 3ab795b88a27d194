import { createHash } from 'node:crypto';
import { pipeline } from 'node:stream/promises';
import type { Buildpack } from '../../contracts/gen/diego_pb.js';
import type { Garden, Layer } from '../garden/garden.ts';
import { digesting, readableSize } from './digest.ts';
import { required, type StagingBlobs, type StagingLog } from './transfers.ts';

/** The directory of a buildpack below /tmp/buildpacks. */
export function buildpackDirectory(buildpack: Buildpack): string {
  return createHash('md5').update(buildpack.key).digest('hex');
}

/** Fetches and unpacks a buildpack unless this cell has it. */
export async function buildpackLayer(
  { garden, blobs }: { garden: Garden; blobs: StagingBlobs },
  buildpack: Buildpack,
  stack: string,
  say: StagingLog,
): Promise<Layer> {
  const blob = required(buildpack.blob, 'buildpack');
  const open = async () => {
    say(`Downloading ${buildpack.name}...`);
    const checked = digesting({ expected: blob.sha256 });
    const body = await blobs.fetch(blob);
    pipeline(body, checked.stream).then(
      () => say(`Downloaded ${buildpack.name} (${readableSize(checked.info().bytes)})`),
      () => {}, // the reader of the stream meets the error
    );
    return checked.stream;
  };
  const directory = buildpackDirectory(buildpack);
  // Others may wait for the same layer, so it is not given up when one staging is cancelled.
  return garden.ensureLayer(`buildpack-${directory}`, { format: 'zip', open }, `/tmp/buildpacks/${directory}`, stack);
}
