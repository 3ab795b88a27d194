import { CloudControllerInternal } from '../../contracts/gen/cloud-controller_pb.js';
import { createLoggregator } from '../../loggregator/index.ts';
import { hostsOf } from './hosts.ts';
import type { Role, RoleParts } from './role.ts';

/** The log cache; `log-cache.<domain>`. */
export async function createLogsRole(parts: RoleParts): Promise<Role> {
  const cloudController = parts.contracts.client(CloudControllerInternal);
  const loggregator = createLoggregator({
    log: parts.log.child('loggregator'),
    access: async (accessToken, sourceIds) =>
      (await cloudController.logAccess({ accessToken, sourceIds: [...sourceIds] })).allowed,
    tokens: await parts.tokens(),
  });
  return {
    routes: loggregator.routes,
    hosts: hostsOf(parts.settings, 'logs', loggregator.handler),
    close: () => loggregator.close(),
  };
}
