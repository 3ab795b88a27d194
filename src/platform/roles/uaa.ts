import { SUBJECTS } from '../../kit/bus.ts';
import type { UaaSchema } from '../../uaa/schema.ts';
import { adminClient, cloudControllerClient, createUaa, sshProxyClient } from '../../uaa/uaa.ts';
import { adminOperation, NoBody } from '../admin-socket.ts';
import type { RoleBootstrap } from '../bootstrap.ts';
import { publicUrl } from '../public-names.ts';
import { hostsOf } from './hosts.ts';
import type { Role, RoleParts } from './role.ts';

/** Users, groups, clients and tokens; `uaa.<domain>` and `login.<domain>`. */
export async function createUaaRole(parts: RoleParts, own: RoleBootstrap['uaa']): Promise<Role> {
  const { settings, log } = parts;
  const bus = await parts.bus();
  const url = (name: string): string => publicUrl(settings, name);
  const uaa = createUaa({
    db: parts.database<UaaSchema>('uaa'),
    sealer: parts.sealer(own.sealingKey),
    log: log.child('uaa'),
    urls: { uaa: url('uaa'), login: url('login') },
    revoked: () => bus.publish(SUBJECTS.revocations),
    bootstrap: {
      adminUser: { userName: settings.adminUser, password: own.adminPassword },
      clients: [
        adminClient({ secret: own.clientSecrets.admin }),
        cloudControllerClient({ secret: own.clientSecrets.cloudController }),
        sshProxyClient({ secret: own.clientSecrets.sshProxy, redirectUri: `${url('uaa')}/login` }),
      ],
    },
  });
  await uaa.start();
  return {
    routes: uaa.routes,
    hosts: hostsOf(settings, 'uaa', uaa.handler),
    operations: {
      'POST /rotate-signing-key': adminOperation(NoBody, async () => ({ kid: await uaa.rotateSigningKey() })),
    },
    close: () => uaa.close(),
  };
}
