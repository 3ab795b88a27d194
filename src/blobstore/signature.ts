import { createHmac } from 'node:crypto';
import type { BlobKind } from '../contracts/blobs.ts';
import { sameSecret } from '../kit/crypto.ts';

export type Verb = 'GET' | 'PUT';

/** What a signed URL allows: one verb on one object until a time (seconds since 1970). */
export interface BlobGrant {
  verb: Verb;
  kind: BlobKind;
  key: string;
  expires: number;
}

/** HMAC-SHA256 over all that the grant says, each part told from the next. */
export function signatureOf(grant: BlobGrant, signingKey: Buffer): string {
  return createHmac('sha256', signingKey)
    .update(JSON.stringify(['cupola blob 1', grant.verb, grant.kind, grant.key, grant.expires]))
    .digest('base64url');
}

export function isSigned(grant: BlobGrant, signature: string, signingKey: Buffer): boolean {
  return sameSecret(signature, signatureOf(grant, signingKey));
}
