import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import busboy from 'busboy';
import type { BlobInfo, Blobs, HeldRoom, Scratch } from '../../contracts/blobs.ts';
import type { Entry } from '../../kit/body-account.ts';
import { isCleanText } from '../../kit/json.ts';
import { HttpRefusal } from '../../kit/refusal.ts';
import { readLater } from '../../kit/streams.ts';
import { CfError, unprocessable } from '../errors.ts';
import { storageError } from '../storage/ledger.ts';

/** A multipart body as it comes. */
export interface MultipartBody {
  stream: Readable | null;
  contentType: string;
  /** Where its texts are entered; null where nobody keeps account of them. */
  texts: Entry | null;
}

export interface Upload {
  fields: ReadonlyMap<string, string>;
  /** Null where no file part came. */
  file: ({ path: string; name: string } & BlobInfo) | null;
}

interface UploadLimits {
  fileField: string;
  maxBytes: number;
}

/** All that is no file, together: `resources` of a large app is the only long field, and names what was matched alone. */
const TEXT_BYTES = 2 * 1024 ** 2;
const FIELDS = 8;

/**
 * Reads a multipart body to a temporary file, in the room that is held for it, that lives while `use` runs. One file part,
 * called `fileField`; fields are texts. Throws UnprocessableEntity, InvalidRequest (413) past `maxBytes` or where the texts are
 * too long, ServiceUnavailable where the disk is full, and HttpRefusal where the body or the account of texts ends it.
 */
export async function withUpload<Result>(
  { blobs, room }: { blobs: Pick<Blobs, 'scratch'>; room: HeldRoom },
  body: MultipartBody,
  limits: UploadLimits,
  use: (upload: Upload) => Promise<Result>,
): Promise<Result> {
  const { stream } = body;
  if (!stream) throw new CfError('UnprocessableEntity', 'Upload must be a multipart form');
  const parser = parserFor(body.contentType, limits.maxBytes);
  return blobs.scratch(room, async (scratch) => use(await receive(parser, { ...body, stream }, scratch, limits)));
}

async function receive(
  parser: busboy.Busboy,
  { stream, texts }: MultipartBody & { stream: Readable },
  scratch: Scratch,
  limits: UploadLimits,
): Promise<Upload> {
  const fields = new Map<string, string>();
  const text = new TextCount(texts);
  let name: string | null = null;
  let part: Readable | null = null;
  let writing: Promise<BlobInfo | null> = Promise.resolve(null);
  let refusal: CfError | null = null;
  parser.on('field', (field, value, info) => {
    try {
      text.seen(field, value, info.valueTruncated);
      fields.set(field, value);
    } catch (error) {
      parser.destroy(error instanceof Error ? error : undefined);
    }
  });
  parser.on('file', (field, file, info) => {
    // The parser fails it together with the form, also where nobody wants it.
    part = readLater(file);
    file.once('close', () => {
      if (part === file) part = null;
    });
    if (field !== limits.fileField || name !== null) {
      file.resume();
      return;
    }
    name = info.filename ?? 'upload';
    file.on('limit', () => {
      refusal = new CfError('InvalidRequest', 'The upload is too large', { status: 413 });
    });
    writing = scratch.fill(file, limits.maxBytes);
    // Nothing would read the part any more, and the parser would wait for that.
    writing.catch((error) => parser.destroy(error));
  });
  /** What comes outside of files is text, and lies in memory while it comes. */
  async function* countingTexts(chunks: AsyncIterable<Buffer>) {
    for await (const chunk of chunks) {
      if (!part) text.add(chunk.length);
      yield chunk;
    }
  }
  try {
    await pipeline(stream, countingTexts, parser);
    if (refusal) throw refusal;
    const written = await writing;
    return { fields, file: name === null || written === null ? null : { path: scratch.path, name, ...written } };
  } catch (cause) {
    await writing.catch(() => {}); // it failed with the parser, and leaves nothing open
    throw refused(cause);
  }
}

/** Counts what lies in memory of a form. */
class TextCount {
  readonly #account: Entry | null;
  #added = 0;
  #seen = 0;

  constructor(account: Entry | null) {
    this.#account = account;
  }

  /** Throws InvalidRequest (413), or HttpRefusal where the account has no room. */
  add(bytes: number): void {
    this.#added += bytes;
    if (this.#added > TEXT_BYTES) throw new CfError('InvalidRequest', 'The fields are too large', { status: 413 });
    this.#account?.add(bytes);
  }

  /** A field is whole: what of it came together with the end of a file was not added yet. */
  seen(field: string, value: string, truncated: boolean): void {
    if (truncated) throw new CfError('InvalidRequest', 'The fields are too large', { status: 413 });
    this.#seen += Buffer.byteLength(field) + Buffer.byteLength(value);
    if (this.#seen > this.#added) this.add(this.#seen - this.#added);
    if (!isCleanText(field) || !isCleanText(value)) throw unprocessable('A field must not contain a NUL character');
  }
}

/** What ended a form, in the API's words; what the system says of the disk stays as it is. */
function refused(cause: unknown): unknown {
  const error = storageError(cause);
  if (error instanceof CfError || error instanceof HttpRefusal) return error;
  if (error instanceof Error && 'syscall' in error) return error;
  return new CfError('MessageParseError', 'Request invalid due to parse error: invalid multipart body', { cause });
}

function parserFor(contentType: string, maxBytes: number): busboy.Busboy {
  try {
    const limits = { fileSize: maxBytes, files: 2, fields: FIELDS, fieldSize: TEXT_BYTES, parts: FIELDS + 2 };
    return busboy({ headers: { 'content-type': contentType }, limits });
  } catch (cause) {
    throw new CfError('UnprocessableEntity', 'Upload must be a multipart form', { cause });
  }
}
