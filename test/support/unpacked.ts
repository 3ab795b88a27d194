import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildpackDirectory } from '../../src/cell/staging/buildpack-layers.ts';
import type { Buildpack } from '../../src/contracts/gen/diego_pb.js';
import { shownBuildpacks } from '../../src/platform/system-buildpacks.ts';
import type { TestPlatform } from './platform.ts';

/** Names of the system buildpacks that a cell of the platform has unpacked. */
export function unpackedBuildpacks({ data, layout }: TestPlatform, cell: string): string[] {
  const layers = join(data, 'cells', cell, 'garden/layers');
  const keys = new Set(
    readdirSync(layers).flatMap((name) => {
      const record = join(layers, name, 'layer.json'); // written last
      return existsSync(record) ? [(JSON.parse(readFileSync(record, 'utf8')) as { key: string }).key] : [];
    }),
  );
  return shownBuildpacks(layout).flatMap(({ name, sha256 }) =>
    keys.has(`buildpack-${buildpackDirectory({ blob: { sha256 } } as Buildpack)}`) ? [name] : [],
  );
}
