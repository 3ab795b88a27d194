import { Bbs } from '../../contracts/gen/diego_pb.js';
import { Ingress } from '../../contracts/gen/loggregator_pb.js';
import { makeDirectory } from '../../kit/owned-files.ts';
import { createRouter } from '../../router/index.ts';
import { adminOperation, NoBody } from '../admin-socket.ts';
import type { RoleBootstrap } from '../bootstrap.ts';
import { routerSettingsOf } from '../cell-settings.ts';
import type { Role, RoleParts } from './role.ts';

/** Keeps the router at the routes that are wanted, and takes its access log. */
export async function createRoutingRole(parts: RoleParts, own: RoleBootstrap['routing']): Promise<Role> {
  const { contracts, log } = parts;
  makeDirectory(`${parts.state}/router`, { mode: 0o700 });
  const router = createRouter({
    settings: routerSettingsOf(parts.layout, own.maxConnections),
    bbs: contracts.client(Bbs),
    ingress: contracts.client(Ingress),
    bus: await parts.bus(),
    log: log.child('router'),
  });
  return {
    operations: {
      'GET /router': adminOperation(NoBody, () => {
        const { refused, servedAsHttp1 } = router.status();
        return { refused, servedAsHttp1 };
      }),
    },
    start: () => router.start(),
    close: () => router.close(),
  };
}
