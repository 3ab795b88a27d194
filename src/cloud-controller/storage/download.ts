import type { Readable } from 'node:stream';
import { Type } from 'typebox';
import type { BlobKind, Blobs } from '../../contracts/blobs.ts';
import type { CfError } from '../errors.ts';

/** The body of an answer that is no JSON. */
export const Bytes = Type.Unsafe<Readable>({ type: 'string', format: 'binary' });

/**
 * The answer that carries a blob of a media type. `record` runs before it is opened, and only where it is there: what cannot be
 * recorded is not shown, and leaves nothing open. Throws `missing` where there is none.
 */
export async function download(
  blobs: Pick<Blobs, 'stat' | 'open'>,
  { kind, key, type }: { kind: BlobKind; key: string; type: string },
  missing: CfError,
  record: () => Promise<void>,
) {
  if (!(await blobs.stat(kind, key))) throw missing;
  await record();
  const blob = await blobs.open(kind, key);
  if (!blob) throw missing;
  const headers = { 'content-type': type, 'content-length': String(blob.bytes) };
  return { status: 200, body: blob.body, headers } as const;
}
