import type { GardenSettings } from '../cell/garden/settings.ts';
import type { CellProxySettings } from '../cell/proxy/index.ts';
import type { Logger } from '../kit/log.ts';
import type { RouterSettings } from '../router/index.ts';
import { cellAddress, containerRange, routerAddress, routerPorts } from './addresses.ts';
import type { Layout } from './layout.ts';
import { systemHosts } from './public-names.ts';
import { roleProcesses } from './roles/cut.ts';
import { hostNamesOf } from './roles/hosts.ts';
import type { PlatformSettings } from './settings/schema.ts';

/** Containers of one cell: 253 addresses, and as many ranges of user ids. */
export const CONTAINERS_PER_CELL = 250;
const RANGES_A_CELL = 256;

export function cellName(index: number): string {
  return `cell-${index}`;
}

/** Of all cells of an installation. */
export function cellNames({ cells }: Pick<PlatformSettings, 'cells'>): string[] {
  return Array.from({ length: cells }, (_, index) => cellName(index));
}

export function cellZone({ zones }: Pick<PlatformSettings, 'zones'>, index: number): string {
  return `z${1 + (index % zones)}`;
}

/** `proxy`: the account that brings requests to the containers; nothing that only takes a garden down needs it. */
export function gardenSettingsOf(layout: Layout, index: number, log: Logger, proxy?: { uid: number }): GardenSettings {
  const { settings } = layout;
  return {
    rootDirectory: `${settings.dataDirectory}/cells/${cellName(index)}/garden`,
    runDirectory: `${layout.run}/${cellName(index)}`,
    stacksDirectory: layout.stacks,
    prefix: `${settings.id}${String.fromCharCode(97 + index)}`,
    network: {
      range: containerRange(settings, index),
      overlay: `${settings.overlay}.0.0/16`,
      gateway: settings.gateway,
      mtu: 1450,
      machinePrefix: settings.id,
      router: { address: routerAddress(settings), ports: routerPorts(settings) },
      cellAddress: cellAddress(settings, index),
      callers: proxy ? [proxy.uid] : [],
    },
    uidRangeBase: settings.uidRangeBase + index * RANGES_A_CELL * 65_536,
    maxContainers: CONTAINERS_PER_CELL,
    log,
  };
}

const proxyBase = ({ run }: Layout, index: number) => `${run}/${cellName(index)}-proxy`;
const routerBase = ({ run }: Layout) => `${run}/router`;
const stateOf = (base: string) => `${base}/state`;

/**
 * What the router and the proxy of each cell start from: without it a proxy knows of no container, and the router's routes, which
 * control keeps, lead to none (`prepareRouter`). It is gone after the machine starts, too.
 */
export function startedFrom(layout: Layout): string[] {
  const proxies = Array.from({ length: layout.settings.cells }, (_, index) => proxyBase(layout, index));
  return [routerBase(layout), ...proxies].map(stateOf);
}

/** Of one HAProxy, however many descriptors it may have. */
const MOST_CLIENTS = 8000;

/** `maxConnections`: how many the machine's limit on descriptors allows one process, here and below. */
export function cellProxySettingsOf(
  layout: Layout,
  index: number,
  account: { uid: number; gid: number },
  maxConnections: number,
): CellProxySettings {
  const base = proxyBase(layout, index);
  return {
    runDirectory: stateOf(base),
    bindAddress: cellAddress(layout.settings, index),
    port: layout.settings.ports.proxy[index]!,
    routerCa: `${base}/platform-ca.pem`,
    routerName: 'router',
    threads: 2,
    maxConnections: Math.min(MOST_CLIENTS, maxConnections),
    socket: `${base}/socket/stats.sock`,
    account: { uid: account.uid, gid: account.gid },
  };
}

export function routerSettingsOf(layout: Layout, maxConnections: number): RouterSettings {
  const { settings } = layout;
  const base = routerBase(layout);
  return {
    runDirectory: stateOf(base),
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
    ...(settings.sshPort === null ? {} : { ssh: { socket: `${base}/ssh/ssh.sock` } }),
    control: { address: '127.0.0.1', port: settings.ports.control },
    apart: roleProcesses(settings).flatMap(({ name, address, roles }) => {
      const hosts = roles.flatMap((role) => hostNamesOf(settings, role));
      return name === 'control' || hosts.length === 0 ? [] : [{ name, address, port: settings.ports.control, hosts }];
    }),
    systemHosts: systemHosts(settings.domain),
    poolSize: 2000,
    http2Apps: settings.http2Apps === true,
    containers: `${settings.overlay}.0.0/16`,
    threads: 2,
    // It has a connection of its own for each request beside each client's.
    maxConnections: Math.min(MOST_CLIENTS, Math.floor(maxConnections / 2)),
    sockets: { admin: `${base}/sockets/admin.sock`, driver: `${base}/sockets/driver.sock` },
  };
}
