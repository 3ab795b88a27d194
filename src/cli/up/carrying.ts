import type { PlatformStatus } from '../../platform/admin-messages.ts';

const DATABASE = 'postgresql';

/** Data of a former PostgreSQL are still to be carried over, and will be. */
export function isBehind({ update }: PlatformStatus): boolean {
  return update.problem === null && update.outdated.includes(DATABASE);
}

/** They are just now. How long it takes is a matter of how many there are: the supervisor has a limit of its own for it. */
export function isCarrying({ update }: PlatformStatus): boolean {
  return update.running && update.outdated.length === 1 && update.outdated[0] === DATABASE;
}
