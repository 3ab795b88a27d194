import type { EngineTree } from '../../kit/engines.ts';
import type { Logger } from '../../kit/log.ts';
import type { NetworkSettings } from '../network/settings.ts';

/** What `createGarden` and `teardownGarden` must know. Two gardens of one machine differ in every value but `stacksDirectory`, gateway and MTU. */
export interface GardenSettings {
  /** State: records, disk images, layers. Made 0700. */
  rootDirectory: string;
  /** Mount points, runc's state, exit files; may be lost in a reboot. Made 0711, because container roots must walk through it. */
  runDirectory: string;
  /** Where `ensureStack` puts stacks. */
  stacksDirectory: string;
  /** 1 to 4 lower-case letters, and not the beginning of another garden's: names links (`<prefix><n>`), the cgroup parent, the nft table. */
  prefix: string;
  network: NetworkSettings;
  /** First host uid (and gid) of this garden's ranges of 65,536. The first range unpacks layers, the next ones are the containers'. */
  uidRangeBase: number;
  /** How many containers at most; by default what network range and uids allow. */
  maxContainers?: number;
  /** Bound of one unpacked layer. Default 6 GiB. */
  layerLimitBytes?: number;
  /** Bound of one process's log file before conmon starts it afresh. Default 64 MiB. */
  logLimitBytes?: number;
  log: Logger;
}

/** And what one that runs is given beside. */
export interface OpenGardenSettings extends GardenSettings {
  /** Whether the disk has room for more than is on it: no layer is made where it has none. */
  hasRoom: () => Promise<boolean>;
  /** Where runc and all that comes with it are taken from; a namespace is made there that has what the garden mounts. Without it: the machine's. */
  engines?: EngineTree;
}

/** Host uids (and gids) of one container. */
export const UID_RANGE = 65_536;
/** vcap's number inside of every container. */
export const VCAP = 2000;
