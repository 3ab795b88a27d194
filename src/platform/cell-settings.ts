import type { GardenSettings } from '../cell/garden/settings.ts';
import type { CellProxySettings } from '../cell/proxy/index.ts';
import type { Logger } from '../kit/log.ts';
import type { RouterSettings } from '../router/index.ts';
import { cellAddress, routerAddress, routerPorts } from './addresses.ts';
import { type Layout, type PlatformSettings, systemHosts } from './settings.ts';

/** Containers of one cell: 253 addresses, and as many ranges of user ids. */
export const CONTAINERS_PER_CELL = 250;
const RANGES_A_CELL = 256;

export function cellName(index: number): string {
  return `cell-${index}`;
}

export function cellZone({ zones }: Pick<PlatformSettings, 'zones'>, index: number): string {
  return `z${1 + (index % zones)}`;
}

export function gardenSettingsOf(layout: Layout, index: number, log: Logger): GardenSettings {
  const { settings } = layout;
  return {
    rootDirectory: `${settings.dataDirectory}/cells/${cellName(index)}/garden`,
    runDirectory: `${layout.run}/${cellName(index)}`,
    stacksDirectory: layout.stacks,
    prefix: `${settings.id}${String.fromCharCode(97 + index)}`,
    network: {
      range: `${settings.overlay}.${index}.0/24`,
      overlay: `${settings.overlay}.0.0/16`,
      gateway: settings.gateway,
      mtu: 1450,
      machinePrefix: settings.id,
      router: { address: routerAddress(settings), ports: routerPorts(settings) },
      cellAddress: cellAddress(settings, index),
    },
    uidRangeBase: settings.uidRangeBase + index * RANGES_A_CELL * 65_536,
    maxContainers: CONTAINERS_PER_CELL,
    log,
  };
}

export function cellProxySettingsOf(
  layout: Layout,
  index: number,
  account: { uid: number; gid: number },
  maxConnections: number,
): CellProxySettings {
  const base = `${layout.run}/${cellName(index)}-proxy`;
  return {
    runDirectory: `${base}/state`,
    bindAddress: cellAddress(layout.settings, index),
    port: layout.settings.ports.proxy[index]!,
    routerCa: `${base}/platform-ca.pem`,
    routerName: 'router',
    threads: 2,
    maxConnections,
    socket: `${base}/socket/stats.sock`,
    account: { uid: account.uid, gid: account.gid },
  };
}

export function routerSettingsOf(layout: Layout, maxConnections: number): RouterSettings {
  const { settings } = layout;
  const base = `${layout.run}/router`;
  return {
    runDirectory: `${base}/state`,
    stateDirectory: `${layout.run}/control/router`,
    bindAddresses: settings.bindAddress === '0.0.0.0' ? ['0.0.0.0'] : [settings.bindAddress, routerAddress(settings)],
    httpsPort: settings.httpsPort,
    ...(settings.httpPort === null ? {} : { httpPort: settings.httpPort }),
    certificates: {
      front: `${base}/certificates/front.pem`,
      client: `${base}/certificates/router.pem`,
      instanceCa: `${base}/certificates/instance-ca.pem`,
      platformCa: `${base}/certificates/platform-ca.pem`,
    },
    ...(settings.sshPort === null ? {} : { ssh: { address: '127.0.0.1', port: settings.ports.ssh } }),
    control: { address: '127.0.0.1', port: settings.ports.control },
    systemHosts: systemHosts(settings.domain),
    poolSize: 2000,
    threads: 2,
    maxConnections,
    logSocket: `${base}/log/access.sock`,
    sockets: { admin: `${base}/sockets/admin.sock`, driver: `${base}/sockets/driver.sock` },
  };
}
