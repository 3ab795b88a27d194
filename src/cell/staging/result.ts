import type { Readable } from 'node:stream';
import type { BlobInfo } from '../../contracts/blobs.ts';
import type { Buildpack } from '../../contracts/gen/diego_pb.js';
import { CupolaError } from '../../kit/errors.ts';
import { TarReader } from '../../kit/tar.ts';
import { type ProcessTypes, parseLaunch, parseName, parseProcfile, parseRelease, type Sidecar } from './release.ts';

/** What staging made; as JSON it is the result of the task. */
export interface StagingResult {
  lifecycle_type: 'buildpack';
  lifecycle_metadata: {
    detected_buildpack: string;
    /** `name` is the platform's name of the buildpack, `own_name` what it calls itself: "" where it does not say. */
    buildpacks: { key: string; name: string; own_name: string; version: string }[];
  };
  process_types: ProcessTypes;
  sidecars: Sidecar[];
  execution_metadata: string;
  droplet: BlobInfo;
  cache: BlobInfo | null;
}

const MAXIMUM_FILE = 128 * 1024;
/** Of all that stands beside them, too. */
const MAXIMUM_BYTES = 16 * 1024 * 1024;
const MAXIMUM_FILES = 1000;
const FILES = ['release.yml', 'Procfile', 'detected', 'buildpacks'];
/** Of each buildpack, in their order. */
const LAUNCH_FILE = /^launch-\d{1,2}\.yml$/;
const CONFIG_FILE = /^config-\d{1,2}\.yml$/;

/**
 * The builder's result directory, as the container gave it: the known files alone, each bounded. Throws CupolaError `release_invalid`, for
 * more than a result may hold as well.
 */
export async function readResultFiles(tar: Readable): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  const members = new TarReader(tar);
  let bytes = 0;
  let count = 0;
  for await (const member of members) {
    bytes += member.size;
    count += 1;
    if (bytes > MAXIMUM_BYTES || count > MAXIMUM_FILES) {
      throw new CupolaError('release_invalid', 'there is too much in the directory of results');
    }
    const name = member.name.replace(/^(\.\/)*result\//, '');
    if (member.type !== 'file' || !(FILES.includes(name) || LAUNCH_FILE.test(name) || CONFIG_FILE.test(name))) continue;
    if (member.size > MAXIMUM_FILE) throw new CupolaError('release_invalid', `${name} is too long`);
    const chunks: Buffer[] = [];
    for await (const chunk of members.content()) chunks.push(chunk);
    files.set(name, Buffer.concat(chunks).toString('utf8'));
  }
  return files;
}

/** Everything of the result but the blobs. Throws CupolaError `release_invalid`. */
export function interpretResult(
  files: ReadonlyMap<string, string>,
  buildpackOf: (directory: string) => Buildpack | undefined,
): Omit<StagingResult, 'droplet' | 'cache'> {
  const used = (files.get('buildpacks') ?? '').split('\n').filter((line) => line !== '');
  const procfile = files.get('Procfile');
  const launches = [...files.keys()]
    .filter((name) => LAUNCH_FILE.test(name))
    .sort()
    .map((name) => parseLaunch(files.get(name)!));
  const buildpacks = used.map((line, index) => {
    const [directory = '', version = ''] = line.split(' ', 2);
    const buildpack = buildpackOf(directory);
    if (buildpack === undefined) throw new CupolaError('release_invalid', 'the result names a buildpack not asked for');
    const ownName = asName(parseName(files.get(`config-${index}.yml`) ?? ''));
    return { key: buildpack.key, name: buildpack.name, own_name: ownName, version: asName(version) };
  });
  return {
    lifecycle_type: 'buildpack',
    lifecycle_metadata: {
      detected_buildpack: buildpacks.at(-1)?.own_name || asName(files.get('detected') ?? ''),
      buildpacks,
    },
    process_types: {
      ...parseRelease(files.get('release.yml') ?? ''),
      ...Object.assign({}, ...launches.map(({ processTypes }) => processTypes)),
      ...(procfile === undefined ? {} : parseProcfile(procfile)),
    },
    sidecars: launches.flatMap(({ sidecars }) => sidecars),
    execution_metadata: '',
  };
}

/** What a buildpack wrote, as it may stand in a view: short, and without what is no printable ASCII. */
function asName(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '').slice(0, 255);
}
