import type { HeldRoom } from '../../contracts/blobs.ts';
import { readBoundedYaml, YamlRefusedError } from '../../kit/yaml.ts';
import { recordEvent } from '../audit-events/store.ts';
import { type Db, lockRow } from '../database.ts';
import { CfError, notFound, unprocessable } from '../errors.ts';
import type { Call } from '../operation.ts';
import { type ArchiveEntry, openArchive, PACKAGE_LIMITS } from '../packages/archive.ts';
import { ArchiveRefusedError } from '../packages/archive-refusal.ts';
import { type Upload, withUpload } from '../packages/multipart.ts';
import { PACKAGE_MAX_BYTES, uploadRoom } from '../packages/upload.ts';
import { isStack } from '../stacks/store.ts';
import { placeFile, withRoom } from '../storage/keep.ts';
import { storageError } from '../storage/ledger.ts';
import { buildpackEvent } from './events.ts';
import { type Buildpack, lockPositions, updateBuildpack } from './store.ts';

const MANIFEST_MAX_BYTES = 1024 ** 2;

/**
 * Takes an uploaded zip for a buildpack: checked (SECURITY-TESTS 24), kept under a key of its content, and tied to the stack
 * that its manifest.yml names. The former content stays for stagings that were given it. Throws BuildpackBitsUploadInvalid,
 * BuildpackZipError, BuildpackStackDoesNotExist, BuildpackStacksDontMatch, UnprocessableEntity.
 */
export async function receiveBits(
  call: Pick<Call, 'context' | 'stream' | 'contentType' | 'contentLength' | 'texts' | 'actor'>,
  found: Buildpack,
): Promise<Buildpack> {
  const { blobs } = call.context;
  return withRoom(call.context, uploadRoom(call), { actor: call.actor.guid }, (room) => {
    const limits = { fileField: 'bits', maxBytes: PACKAGE_MAX_BYTES };
    return withUpload({ blobs, room }, call, limits, (upload) => install(call, found, upload, room));
  });
}

async function install(
  call: Pick<Call, 'context' | 'actor'>,
  found: Buildpack,
  { file }: Upload,
  room: HeldRoom,
): Promise<Buildpack> {
  if (!file) throw unprocessable('Upload must include a buildpack zip as "bits"');
  if (!/\.zip$/i.test(file.name)) throw unprocessable(`${file.name.slice(0, 100)} is not a zip`);
  const named = await stackInManifest(file, call.actor.guid);
  await stackOf(call.context.db, found, named);
  await keep(call, found, file, room);
  const { sha256 } = file;
  return call.context.db.transaction().execute(async (trx) => {
    await lockPositions(trx);
    // It may have been locked, tied to another stack or deleted meanwhile.
    const before = await lockRow(trx, 'buildpacks', found.guid, notFound('Buildpack'));
    if (before.locked) throw unprocessable('Buildpack is locked');
    const stack = await stackOf(trx, before, named);
    const row = await updateBuildpack(trx, before, {
      state: 'READY',
      stack,
      filename: file.name.slice(0, 255),
      sha256,
      blob_key: keyOf(found, sha256),
    });
    await recordEvent(trx, buildpackEvent('audit.buildpack.upload', call.actor, row, { request: {} }));
    return row;
  });
}

/** Of a buildpack's content in the blobstore. */
export function keyOf(buildpack: Pick<Buildpack, 'guid'>, sha256: string): string {
  return `${buildpack.guid}_${sha256}`;
}

/** Also where it lies there already: what is old and belongs to no buildpack may be swept away at any time. */
async function keep(
  { context }: Pick<Call, 'context'>,
  found: Buildpack,
  file: NonNullable<Upload['file']>,
  room: HeldRoom,
): Promise<void> {
  const blob = { kind: 'buildpacks', key: keyOf(found, file.sha256) } as const;
  await placeFile(context.blobs, blob, file, room).catch((error: unknown) => {
    throw storageError(error);
  });
}

async function stackInManifest(file: NonNullable<Upload['file']>, sender: string): Promise<string | null> {
  try {
    const isManifest = ({ path, type }: ArchiveEntry): boolean => path === 'manifest.yml' && type === 'file';
    const archive = await openArchive(file, PACKAGE_LIMITS, { sender, keeps: isManifest });
    try {
      const [entry] = archive.entries;
      if (entry === undefined) return null;
      if (entry.bytes > MANIFEST_MAX_BYTES) throw invalidZip('manifest.yml is too long');
      const chunks: Buffer[] = [];
      for await (const chunk of await entry.open()) chunks.push(chunk as Buffer);
      return await readStack(Buffer.concat(chunks).toString('utf8'));
    } finally {
      archive.close();
    }
  } catch (error) {
    if (!(error instanceof ArchiveRefusedError)) throw error;
    throw new CfError('BuildpackBitsUploadInvalid', `The buildpack upload is invalid: ${error.message}`, {
      cause: error,
    });
  }
}

/** The `stack` of a manifest.yml; null where it names none, which means any. */
async function readStack(text: string): Promise<string | null> {
  let manifest: unknown;
  try {
    manifest = await readBoundedYaml(text);
  } catch (cause) {
    if (!(cause instanceof YamlRefusedError)) throw cause;
    throw invalidZip('manifest.yml is not valid YAML', cause);
  }
  if (manifest === null || typeof manifest !== 'object' || !('stack' in manifest)) return null;
  const { stack } = manifest;
  if (stack === null || stack === '') return null;
  if (typeof stack !== 'string' || stack.length > 255) throw invalidZip('the stack in manifest.yml is not a name');
  return stack;
}

/** The stack it is for with this content. */
async function stackOf(db: Db, found: Buildpack, named: string | null): Promise<string | null> {
  if (named === null || named === found.stack) return found.stack;
  if (found.stack !== null) {
    throw new CfError('BuildpackStacksDontMatch', `Uploaded buildpack stack (${named}) does not match ${found.stack}`);
  }
  if (!(await isStack(db, named)))
    throw new CfError('BuildpackStackDoesNotExist', `Uploaded buildpack stack (${named}) does not exist`);
  return named;
}

function invalidZip(message: string, cause?: unknown): CfError {
  return new CfError('BuildpackZipError', `Buildpack zip error: ${message}`, { cause });
}
