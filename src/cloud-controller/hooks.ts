import type { Actor } from './authorization.ts';
import type { Db } from './database.ts';

/** What the org side must ask and tell the apps side. The apps register their answers when the room is put together. */
export interface Hooks {
  /** The space of each app that exists. */
  spacesOfApps(db: Db, appGuids: readonly string[]): Promise<ReadonlyMap<string, string>>;
  /** Routes of these apps changed (committed): bring Diego up to date. May be called for apps that are gone. */
  routesChanged(appGuids: readonly string[]): Promise<void>;
  /** Environment variable groups or security groups changed in what running containers get. */
  securityGroupsChanged(): Promise<void>;
  /** Deletes every app of a space with all that hangs on it, while the space is deleted. Called outside a transaction; idempotent. */
  deleteAppsOfSpace(spaceGuid: string, actor: Actor): Promise<void>;
  /** What apps and tasks use in a space or, without it, in the organization. */
  usage(db: Db, organizationGuid: string, spaceGuid?: string): Promise<Usage>;
}

export interface Usage {
  startedInstances: number;
  memoryMb: number;
  perAppTasks: number;
  /** -1 where a process has no limit. */
  logRateBytesPerSecond: number;
}
