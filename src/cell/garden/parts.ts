import { CupolaError } from '../../kit/errors.ts';
import { CellNetwork } from '../network/network.ts';
import { Cgroups } from './cgroups.ts';
import { GardenPaths } from './paths.ts';
import { Runtime } from './runtime.ts';
import type { GardenSettings } from './settings.ts';

const DEFAULT_LOG_BYTES = 64 * 1024 ** 2;

/** What all containers of a garden share. */
export interface ContainerParts {
  paths: GardenPaths;
  prefix: string;
  uidRangeBase: number;
  runtime: Runtime;
  cgroups: Cgroups;
  network: CellNetwork;
}
/** The pieces a garden is made of. Throws `invalid_settings`, `engine_missing`, `invalid_address`. */
export function assembleParts(settings: GardenSettings): ContainerParts {
  if (!/^[a-z]{1,4}$/.test(settings.prefix)) {
    throw new CupolaError('invalid_settings', 'the prefix of a cell is one to four lower-case letters');
  }
  const paths = new GardenPaths(settings);
  return {
    paths,
    prefix: settings.prefix,
    uidRangeBase: settings.uidRangeBase,
    runtime: new Runtime(paths.runcState, settings.logLimitBytes ?? DEFAULT_LOG_BYTES),
    cgroups: new Cgroups(),
    network: new CellNetwork(settings.prefix, settings.network, settings.log),
  };
}

/** runc's name of a container. */
export function runtimeId(prefix: string, number: number | string): string {
  return `${prefix}-${number}`;
}

/** Below every hierarchy. */
export function cgroupPath(prefix: string, number: number | string): string {
  return `/${cgroupParent(prefix)}/${number}`;
}

export function cgroupParent(prefix: string): string {
  return `cupola-${prefix}`;
}
