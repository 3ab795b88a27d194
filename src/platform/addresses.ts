import type { PlatformSettings } from './settings/schema.ts';

/*
 * The platform's own addresses on this machine: 10.X.254.0/24 of the overlay, each a /32 on `lo`. Containers cannot have
 * them (cells are numbered from 0 to 7), the machine's own processes reach them as any address, the packet filter of the cells
 * keeps containers away from all but the router's ports, and that of the machine keeps other machines away from all of them.
 */

type Overlay = Pick<PlatformSettings, 'overlay'>;

/** Where a cell's rep and proxy listen, and what its apps see as CF_INSTANCE_IP. */
export function cellAddress({ overlay }: Overlay, index: number): string {
  return `${overlay}.254.${index + 1}`;
}

/** What addresses the containers of a cell have. */
export function containerRange({ overlay }: Overlay, index: number): string {
  return `${overlay}.${index}.0/24`;
}

/** Those of all cells. */
export function containerRanges(settings: Pick<PlatformSettings, 'overlay' | 'cells'>): string[] {
  return Array.from({ length: settings.cells }, (_, index) => containerRange(settings, index));
}

/** Where containers find the router: every name of the domain leads them here. */
export function routerAddress({ overlay }: Overlay): string {
  return `${overlay}.254.254`;
}

/**
 * A loopback address of this installation alone: the machine has all of 127.0.0.0/8, so that none is added or taken away, and no other
 * machine and no container reaches it.
 */
export function ownLoopback({ overlay }: Overlay, index: number): string {
  return `127.${overlay.replace(/^10\./, '')}.254.${index + 1}`;
}

/** The router's public ports: all that containers may reach of it, and of this machine. */
export function routerPorts(settings: Pick<PlatformSettings, 'httpsPort' | 'httpPort'>): number[] {
  return [settings.httpsPort, ...(settings.httpPort === null ? [] : [settings.httpPort])];
}

/** All of them, and the gateway of the containers. */
export function ownAddresses(settings: Pick<PlatformSettings, 'overlay' | 'cells' | 'gateway'>): string[] {
  return [
    ...Array.from({ length: settings.cells }, (_, index) => cellAddress(settings, index)),
    routerAddress(settings),
    settings.gateway,
  ];
}
