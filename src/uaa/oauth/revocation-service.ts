import { TokenRevocations } from '../../contracts/gen/token-revocations_pb.js';
import type { Routes } from '../../kit/rpc.ts';
import type { Revocations, Revoked } from './revocations.ts';

/** What verifiers of access tokens ask (contracts/token-revocations.proto). */
export function revocationRoutes(revocations: Revocations): Routes {
  return ({ service }) =>
    service(TokenRevocations, {
      since: async ({ position }) => {
        const answer = await revocations.since(position);
        return {
          position: answer.position,
          revocations: answer.revoked.map((revoked) => ({
            subject: subjectOf(revoked),
            leastGeneration: BigInt(revoked.leastGeneration),
          })),
        };
      },
    });
}

function subjectOf({ kind, subject }: Revoked) {
  switch (kind) {
    case 'TOKEN':
      return { case: 'tokenId', value: subject } as const;
    case 'USER':
      return { case: 'userId', value: subject } as const;
    case 'CLIENT':
      return { case: 'clientId', value: subject } as const;
  }
}
