import { statfsSync } from 'node:fs';
import { totalmem } from 'node:os';
import type { DescService } from '@bufbuild/protobuf';
import { createCell } from '../../cell/cell.ts';
import { createGarden } from '../../cell/garden/create-garden.ts';
import { createCellProxy } from '../../cell/proxy/index.ts';
import { createBlobTransport } from '../../cell/rep/blobs.ts';
import { CellRegistry } from '../../contracts/gen/diego_pb.js';
import { Ingress } from '../../contracts/gen/loggregator_pb.js';
import { hasMoreThan } from '../../kit/disk-sizes.ts';
import { unpinOthers } from '../../kit/engines.ts';
import { type Faults, handleFaults } from '../../kit/faults.ts';
import { Logger } from '../../kit/log.ts';
import { returnMemory } from '../../kit/memory.ts';
import { client, remoteTransport, STREAM_WINDOW_BYTES, serveRpc } from '../../kit/rpc.ts';
import { LiveIdentity } from '../../kit/tls.ts';
import { cellAddress } from '../addresses.ts';
import { CellRenewal } from '../admin-messages.ts';
import { adminOperation, NoBody, serveAdmin } from '../admin-socket.ts';
import { CellBootstrap, onTermination, readBootstrap } from '../bootstrap.ts';
import { CONTAINERS_PER_CELL, cellName, cellProxySettingsOf, cellZone, gardenSettingsOf } from '../cell-settings.ts';
import { diskReserveOf } from '../disk-reserve.ts';
import { layoutOf } from '../layout.ts';
import { peersOfCell, rpcUrlOf } from '../roles/contracts.ts';
import { processOf } from '../roles/cut.ts';
import type { Role } from '../roles/names.ts';
import type { PlatformSettings } from '../settings/schema.ts';

/** Memory and disk for apps: the machine's, less a tenth for itself, shared by its cells. */
function capacityOf(settings: PlatformSettings): { memoryMb: number; diskMb: number; containers: number } {
  const disk = statfsSync(settings.dataDirectory);
  const share = (bytes: number): number => Math.floor((bytes / 1_048_576 / settings.cells) * 0.9);
  return { memoryMb: share(totalmem()), diskMb: share(disk.bavail * disk.bsize), containers: CONTAINERS_PER_CELL };
}

/** The cell process: rep, garden, network and instance identities of one cell, as root and without a public listener. */
async function main(faults: Readonly<Faults>): Promise<void> {
  const bootstrap = await readBootstrap(CellBootstrap);
  const { settings, index, proxyAccount, instanceIdentity, routerRoot, maxConnections, buildpacks, engineRoot } =
    bootstrap;
  // The supervisor replaces it while we run.
  const identity = new LiveIdentity(bootstrap.identity);
  const cellId = cellName(index);
  const log = new Logger('cell', { cell: cellId });
  const layout = layoutOf(settings);
  const diskReserve = diskReserveOf(settings);
  const pin = layout.enginePinOf(cellId);
  const garden = await createGarden({
    ...gardenSettingsOf(layout, index, log.child('garden'), proxyAccount),
    hasRoom: () => hasMoreThan(diskReserve, settings.dataDirectory),
    ...(engineRoot === null ? {} : { engines: { pin, root: engineRoot } }),
  });
  await unpinOthers(pin, cellId);
  const proxySettings = cellProxySettingsOf(layout, index, proxyAccount, maxConnections);
  const proxy = await createCellProxy({ settings: proxySettings, log: log.child('proxy') });
  proxy.start();
  const service = <Service extends DescService>(contract: Service, role: Role) => {
    const options = { localAddress: cellAddress(settings, index) };
    return client(
      contract,
      remoteTransport(rpcUrlOf(settings, role), identity, processOf(settings, role).name, options),
    );
  };
  const blobs = createBlobTransport(identity, processOf(settings, 'api').name);
  const address = cellAddress(settings, index);
  const repPort = settings.ports.rep[index]!;
  const cell = createCell({
    cellId,
    zone: cellZone(settings, index),
    address,
    repUrl: `https://${address}:${repPort}`,
    stacks: ['debian12'],
    capacity: capacityOf(settings),
    placementTags: settings.cellTags[index] ?? [],
    garden,
    proxy,
    proxyPort: proxySettings.port,
    registry: service(CellRegistry, 'brain'),
    ingress: service(Ingress, 'logs'),
    identity: instanceIdentity,
    trustedCertificates: [routerRoot],
    blobs,
    buildpacks,
    registries: {
      allowed: settings.docker?.allowedRegistries ?? [],
      insecure: settings.docker?.insecureRegistries ?? [],
    },
    lifecycleDirectory: `${layout.program}/src/cell/staging/lifecycle`,
    runDirectory: `${layout.run}/${cellId}-identities`,
    stateDirectory: `${settings.dataDirectory}/cells/${cellId}/rep`,
    diskReserve,
    log,
  });
  const rpc = await serveRpc({
    host: address,
    port: repPort,
    identity,
    peers: peersOfCell(settings),
    routes: (router) => cell.routes(router),
    streamWindowBytes: STREAM_WINDOW_BYTES,
    log: log.child('rpc'),
  });
  await cell.start();
  const admin = await serveAdmin(layout.adminSocketOf(cellId), {
    'POST /identity': adminOperation(CellRenewal, async (next) => {
      identity.replace(next.identity);
      await cell.replaceAuthority(next.instanceIdentity, [next.routerRoot]);
    }),
    'POST /reconcile-proxy': adminOperation(NoBody, () => proxy.reconcile()),
    'POST /renew-credentials': adminOperation(NoBody, () => cell.renewCredentials()),
    'GET /faults': adminOperation(NoBody, () => faults),
    'GET /credentials': adminOperation(NoBody, () => cell.credentials()),
  });
  log.info('the cell is ready');
  returnMemory();
  onTermination(async () => {
    admin.close();
    await rpc.close();
    await cell.close();
    await proxy.close();
    await garden.close();
    blobs.close();
  });
}

await main(handleFaults(new Logger('cell')));
