import { CloudControllerInternal } from '../../contracts/gen/cloud-controller_pb.js';
import { type CellPresence, Rep } from '../../contracts/gen/diego_pb.js';
import { createDiego } from '../../diego/index.ts';
import type { BbsSchema } from '../../diego/schema.ts';
import { client, remoteTransport } from '../../kit/rpc.ts';
import type { RoleBootstrap } from '../bootstrap.ts';
import type { Role, RoleParts } from './role.ts';

/** Diego: the BBS, the auctioneer and the converger. */
export async function createBrainRole(parts: RoleParts, own: RoleBootstrap['brain']): Promise<Role> {
  const { identity } = parts;
  const diego = createDiego({
    db: parts.database<BbsSchema>('bbs'),
    sealer: parts.sealer(own.sealingKey),
    bus: await parts.bus(),
    log: parts.log.child('diego'),
    rep: (presence: CellPresence) => client(Rep, remoteTransport(presence.repUrl, identity, presence.cellId)),
    cloudController: parts.contracts.client(CloudControllerInternal),
  });
  return { routes: diego.routes, prepare: () => diego.start(), close: () => diego.close() };
}
