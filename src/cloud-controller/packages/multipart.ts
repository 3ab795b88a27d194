import { createWriteStream } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import busboy from 'busboy';
import { CfError } from '../errors.ts';

export interface Upload {
  fields: ReadonlyMap<string, string>;
  /** Null where no file part came. */
  file: { path: string; bytes: number; name: string } | null;
}

const FIELD_BYTES = 32 * 1024 ** 2;

/**
 * Reads a multipart body to a temporary file that lives while `use` runs. One file part, called `fileField`; fields are
 * texts. Throws UnprocessableEntity or InvalidRequest (413) past `maxBytes`.
 */
export async function withUpload<Result>(
  body: { stream: Readable | null; contentType: string },
  limits: { fileField: string; maxBytes: number },
  use: (upload: Upload) => Promise<Result>,
): Promise<Result> {
  if (!body.stream) throw new CfError('UnprocessableEntity', 'Upload must be a multipart form');
  const directory = await mkdtemp(join(tmpdir(), 'cupola-upload-'));
  try {
    return await use(await receive(body.stream, body.contentType, directory, limits));
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function receive(
  stream: Readable,
  contentType: string,
  directory: string,
  limits: { fileField: string; maxBytes: number },
): Promise<Upload> {
  const fields = new Map<string, string>();
  const path = join(directory, 'upload');
  let name: string | null = null;
  let writing: Promise<void> = Promise.resolve();
  let refusal: CfError | null = null;
  const parser = parserFor(contentType, limits.maxBytes);
  parser.on('field', (field, value, info) => {
    if (info.valueTruncated)
      refusal = new CfError('InvalidRequest', `The field ${field} is too large`, { status: 413 });
    fields.set(field, value);
  });
  parser.on('file', (field, file, info) => {
    if (field !== limits.fileField || name !== null) {
      file.resume();
      return;
    }
    name = info.filename ?? 'upload';
    file.on('limit', () => {
      refusal = new CfError('InvalidRequest', 'The upload is too large', { status: 413 });
    });
    writing = pipeline(file, createWriteStream(path, { mode: 0o600 }));
    writing.catch(() => {}); // awaited below; this only keeps it from being reported twice
  });
  try {
    await pipeline(stream, parser);
    await writing;
  } catch (cause) {
    throw new CfError('MessageParseError', 'Request invalid due to parse error: invalid multipart body', { cause });
  }
  if (refusal) throw refusal;
  return { fields, file: name === null ? null : { path, bytes: (await stat(path)).size, name } };
}

function parserFor(contentType: string, maxBytes: number): busboy.Busboy {
  try {
    const limits = { fileSize: maxBytes, files: 2, fields: 20, fieldSize: FIELD_BYTES, parts: 22 };
    return busboy({ headers: { 'content-type': contentType }, limits });
  } catch (cause) {
    throw new CfError('UnprocessableEntity', 'Upload must be a multipart form', { cause });
  }
}
