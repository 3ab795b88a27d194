import type { CfError } from '../errors.ts';
import { keepBlob } from './keep.ts';
import { discardBlob, type Storage, type TenantBlob } from './ledger.ts';

/**
 * Copies a blob of the same kind for a row that `make` writes with its digest; where that fails nothing of the copy is left.
 * Throws `missing` where there is nothing to copy, and as `keepBlob`.
 */
export async function copyBlob<Row>(
  storage: Storage,
  from: string,
  to: TenantBlob,
  { maxBytes, missing }: { maxBytes: number; missing: CfError },
  make: (sha256: string) => Promise<Row>,
): Promise<Row> {
  const blob = await storage.blobs.open(to.kind, from);
  if (!blob) throw missing;
  const { sha256 } = await keepBlob(storage, to, blob.body, { maxBytes, announced: blob.bytes });
  return make(sha256).catch(async (error: unknown) => {
    await discardBlob(storage, to);
    throw error;
  });
}
