import { CloudControllerInternal } from '../../contracts/gen/cloud-controller_pb.js';
import { Bbs } from '../../contracts/gen/diego_pb.js';
import { Ingress } from '../../contracts/gen/loggregator_pb.js';
import { CellSsh } from '../../contracts/gen/ssh_pb.js';
import { AuthorizationCodes } from '../../contracts/gen/uaa_pb.js';
import { client, lastingTransport } from '../../kit/rpc.ts';
import { createSshProxy } from '../../ssh-proxy/ssh-proxy.ts';
import type { RoleBootstrap } from '../bootstrap.ts';
import type { Role, RoleParts } from './role.ts';

/** The way of `cf ssh` into containers. */
export async function createSshRole(parts: RoleParts, own: RoleBootstrap['ssh']): Promise<Role> {
  const { settings, identity, contracts } = parts;
  const codes = contracts.client(AuthorizationCodes);
  const sshProxy = createSshProxy({
    hostKey: own.hostKey,
    public:
      settings.sshPort === settings.httpsPort ? null : { host: settings.bindAddress, port: settings.sshPort ?? 0 },
    behindRouter: own.descriptor === null ? null : { descriptor: own.descriptor },
    exchangeCode: async (code, address) => {
      const redeemed = await codes.redeem({ clientId: 'ssh-proxy', clientSecret: own.clientSecret, code, address });
      return redeemed.accessToken || null;
    },
    cloudController: contracts.client(CloudControllerInternal),
    bbs: contracts.client(Bbs),
    cell: ({ repUrl, cellId }) => {
      const { transport, close } = lastingTransport(repUrl, identity, cellId);
      return { ssh: client(CellSsh, transport), close };
    },
    ingress: contracts.client(Ingress),
    log: parts.log.child('ssh-proxy'),
  });
  return {
    // Before the API answers: whoever waits for the platform waits for that.
    prepare: async () => {
      if (settings.sshPort !== null) await sshProxy.start();
    },
    close: () => sshProxy.close(),
  };
}
