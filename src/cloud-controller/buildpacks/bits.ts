import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { parse } from 'yaml';
import { now } from '../database.ts';
import { CfError, isUniqueViolation, unprocessable } from '../errors.ts';
import type { Call } from '../operation.ts';
import { ArchiveRefusedError, type CheckedArchive, openArchive, PACKAGE_LIMITS } from '../packages/archive.ts';
import { type Upload, withUpload } from '../packages/multipart.ts';
import { PACKAGE_MAX_BYTES } from '../packages/upload.ts';
import { type Buildpack, nameTaken } from './store.ts';

const MANIFEST_MAX_BYTES = 1024 ** 2;

/**
 * Takes an uploaded zip for a buildpack: checked (SECURITY-TESTS 24), kept under a key of its content, and tied to the stack
 * that its manifest.yml names. The former content stays for stagings that were given it. Throws BuildpackBitsUploadInvalid,
 * BuildpackZipError, BuildpackStackDoesNotExist, BuildpackStacksDontMatch, UnprocessableEntity.
 */
export async function receiveBits(
  call: Pick<Call, 'context' | 'stream' | 'contentType'>,
  found: Buildpack,
): Promise<Buildpack> {
  const limits = { fileField: 'bits', maxBytes: PACKAGE_MAX_BYTES };
  return withUpload(call, limits, async ({ file }) => {
    if (!file) throw unprocessable('Upload must include a buildpack zip as "bits"');
    if (!/\.zip$/i.test(file.name)) throw unprocessable(`${file.name.slice(0, 100)} is not a zip`);
    const stack = await stackOf(call, found, await stackInManifest(file));
    const sha256 = await keep(call, found, file.path);
    return call.context.db
      .updateTable('buildpacks')
      .set({
        state: 'READY',
        stack,
        filename: file.name.slice(0, 255),
        sha256,
        blob_key: keyOf(found, sha256),
        updated_at: now,
      })
      .where('guid', '=', found.guid)
      .where('locked', '=', false) // it may have been locked meanwhile
      .returningAll()
      .executeTakeFirstOrThrow(() => unprocessable('Buildpack is locked'))
      .catch((error: unknown) => {
        throw isUniqueViolation(error, 'buildpacks_name_stack') ? nameTaken(found.name, stack) : error;
      });
  });
}

/** Of a buildpack's content in the blobstore. */
export function keyOf(buildpack: Pick<Buildpack, 'guid'>, sha256: string): string {
  return `${buildpack.guid}_${sha256}`;
}

async function keep(call: Pick<Call, 'context'>, found: Buildpack, path: string): Promise<string> {
  const { blobs } = call.context;
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  const sha256 = hash.digest('hex');
  const key = keyOf(found, sha256);
  if ((await blobs.stat('buildpacks', key))?.sha256 !== sha256) {
    await blobs.put('buildpacks', key, createReadStream(path), PACKAGE_MAX_BYTES);
  }
  return sha256;
}

async function stackInManifest(file: NonNullable<Upload['file']>): Promise<string | null> {
  let archive: CheckedArchive;
  try {
    archive = await openArchive(file.path, file.bytes, PACKAGE_LIMITS);
  } catch (error) {
    if (!(error instanceof ArchiveRefusedError)) throw error;
    throw new CfError('BuildpackBitsUploadInvalid', `The buildpack upload is invalid: ${error.message}`, {
      cause: error,
    });
  }
  try {
    const entry = archive.entries.find(({ path, type }) => path === 'manifest.yml' && type === 'file');
    if (entry === undefined) return null;
    if (entry.bytes > MANIFEST_MAX_BYTES) throw invalidZip('manifest.yml is too long');
    const chunks: Buffer[] = [];
    for await (const chunk of await entry.open()) chunks.push(chunk as Buffer);
    return readStack(Buffer.concat(chunks).toString('utf8'));
  } finally {
    archive.close();
  }
}

/** The `stack` of a manifest.yml; null where it names none, which means any. */
export function readStack(text: string): string | null {
  let manifest: unknown;
  try {
    manifest = parse(text, { maxAliasCount: 0, schema: 'core', logLevel: 'error' });
  } catch (cause) {
    throw invalidZip('manifest.yml is not valid YAML', cause);
  }
  if (manifest === null || typeof manifest !== 'object' || !('stack' in manifest)) return null;
  const { stack } = manifest;
  if (stack === null || stack === '') return null;
  if (typeof stack !== 'string' || stack.length > 255) throw invalidZip('the stack in manifest.yml is not a name');
  return stack;
}

async function stackOf(call: Pick<Call, 'context'>, found: Buildpack, named: string | null): Promise<string | null> {
  if (named === null || named === found.stack) return found.stack;
  if (found.stack !== null) {
    throw new CfError('BuildpackStacksDontMatch', `Uploaded buildpack stack (${named}) does not match ${found.stack}`);
  }
  const known = await call.context.db.selectFrom('stacks').select('guid').where('name', '=', named).executeTakeFirst();
  if (!known) throw new CfError('BuildpackStackDoesNotExist', `Uploaded buildpack stack (${named}) does not exist`);
  return named;
}

function invalidZip(message: string, cause?: unknown): CfError {
  return new CfError('BuildpackZipError', `Buildpack zip error: ${message}`, { cause });
}
