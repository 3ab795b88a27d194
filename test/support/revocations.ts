import { create } from '@bufbuild/protobuf';
import { SinceResponseSchema } from '../../src/contracts/gen/token-revocations_pb.js';
import { RevocationList } from '../../src/contracts/revocation-list.ts';
import { silentLog } from './postgresql.ts';

/** The list of a verifier whose UAA has revoked nothing. */
export function nothingRevoked(): RevocationList {
  return new RevocationList({ uaa: { since: async () => create(SinceResponseSchema, {}) }, log: silentLog });
}
