import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { create } from '@bufbuild/protobuf';
import { type Buildpack, BuildpackSchema } from '../../src/contracts/gen/diego_pb.js';
import { lockDirectory } from '../../src/kit/lock.ts';
import { Logger } from '../../src/kit/log.ts';
import { buildSystemBuildpacks, type SystemBuildpack } from '../../src/platform/buildpacks/build.ts';

/** Kept between runs: fetching and packing the runtimes takes a while. */
const CACHE = '/var/cache/cupola-test-buildpacks';

/** The system buildpacks as `up` builds them; each copy of the project has its own, and what is the same is built once. */
export async function testBuildpacks(): Promise<SystemBuildpack[]> {
  const sourceDirectory = new URL('../../buildpacks', import.meta.url).pathname;
  // Of several files that need them at once the first builds them.
  using _ = await lockDirectory(`${CACHE}/building`, 10 * 60_000);
  return await buildSystemBuildpacks({
    sourceDirectory,
    outputDirectory: `${CACHE}/built-${createHash('sha256').update(sourceDirectory).digest('hex').slice(0, 8)}`,
    cacheDirectory: `${CACHE}/fetched`,
    sharedDirectory: `${CACHE}/fetched/built`,
    stack: 'debian12',
    log: new Logger('buildpacks', {}, () => {}),
  });
}

/** A blobstore of the test: what is fetched and what was uploaded, by URL. */
export class TestBlobs {
  readonly content = new Map<string, Buffer | { file: string }>();

  async fetch({ url }: { url: string }): Promise<Readable> {
    const found = this.content.get(url);
    if (found === undefined) throw new Error(`no blob ${url}`);
    return Buffer.isBuffer(found) ? Readable.from([found]) : createReadStream(found.file);
  }

  async upload({ url }: { url: string }, body: Readable): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of body) chunks.push(chunk);
    this.content.set(url, Buffer.concat(chunks));
  }

  async bytes(url: string): Promise<Buffer> {
    const found = this.content.get(url);
    if (found === undefined) throw new Error(`no blob ${url}`);
    return Buffer.isBuffer(found) ? found : readFile(found.file);
  }

  /** A buildpack of a staging task, with this zip as content. */
  buildpack(name: string, key: string, zip: Buffer | { file: string }, sha256 = '', skipDetect = false): Buildpack {
    this.content.set(`buildpack:${key}`, zip);
    return create(BuildpackSchema, { name, key, skipDetect, blob: { url: `buildpack:${key}`, sha256 } });
  }
}
