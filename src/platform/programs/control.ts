import { type Faults, handleFaults } from '../../kit/faults.ts';
import { serveHosts } from '../../kit/http.ts';
import { Logger } from '../../kit/log.ts';
import { returnMemory } from '../../kit/memory.ts';
import { makeDirectory } from '../../kit/owned-files.ts';
import { STREAM_WINDOW_BYTES, serveRpc } from '../../kit/rpc.ts';
import { LiveIdentity } from '../../kit/tls.ts';
import { Identity } from '../admin-messages.ts';
import { adminOperation, NoBody, serveAdmin } from '../admin-socket.ts';
import { ControlBootstrap, onTermination, readBootstrap } from '../bootstrap.ts';
import { layoutOf } from '../layout.ts';
import { Contracts, peersOf } from '../roles/contracts.ts';
import { createRoles, loadRoles } from '../roles/create.ts';
import { roleProcesses } from '../roles/cut.ts';
import { RoleParts } from '../roles/role.ts';

/** The control process, or one that has some of its roles, as an unprivileged account. */
async function main(faults: Readonly<Faults>): Promise<void> {
  // The supervisor tells it once the engines run.
  await loadRoles(process.argv[3]?.split(',') ?? []);
  const bootstrap = await readBootstrap(ControlBootstrap);
  const { settings, name } = bootstrap;
  const self = roleProcesses(settings).find((one) => one.name === name)!;
  // The supervisor replaces it while we run: whatever takes it must be of kit/, which follows.
  const identity = new LiveIdentity(bootstrap.identity);
  const log = new Logger(name);
  const layout = layoutOf(settings);
  makeDirectory(`${layout.run}/control/tmp`, { mode: 0o700 });
  const parts = new RoleParts({ settings, layout, identity, contracts: new Contracts(settings, self, identity), log });
  const roles = await createRoles(parts, bootstrap.roles);
  for (const role of roles) await role.prepare?.();
  const { address: host } = self;
  const { ports } = settings;
  const serving = roles.flatMap(({ routes = [] }) => routes);
  const hosts = new Map(roles.flatMap((role) => [...(role.hosts ?? [])]));
  const rpc =
    serving.length > 0 &&
    (await serveRpc({
      ...{ host, port: ports.rpc, identity, log: log.child('rpc') },
      peers: peersOf(settings, self),
      routes: (router) => {
        for (const routes of serving) routes(router);
      },
      streamWindowBytes: STREAM_WINDOW_BYTES, // for batches of log lines
    }));
  const server =
    hosts.size > 0 && (await serveHosts({ host, port: ports.control, identity, hosts, log: log.child('http') }));
  const admin = await serveAdmin(layout.adminSocketOf(name), {
    'POST /identity': adminOperation(Identity, (next) => identity.replace(next)),
    'GET /faults': adminOperation(NoBody, () => faults),
    ...Object.assign({}, ...roles.map(({ operations }) => operations)),
  });
  for (const role of roles) await role.start?.();
  log.info(`${name} is ready`);
  returnMemory();
  onTermination(async () => {
    admin.close();
    if (server) await server.close();
    for (const role of roles.toReversed()) await role.close();
    if (rpc) await rpc.close();
    await parts.close();
  });
}

// As the supervisor calls it: what it is told is read later.
await main(handleFaults(new Logger(process.argv[2] ?? 'control')));
