import type { PlatformStatus } from '../../platform/admin-messages.ts';

/** How long data take is a matter of how many there are: the supervisor has a limit of its own for it. */
export function isCarrying({ update }: PlatformStatus): boolean {
  return update.running && update.outdated.length === 1 && update.outdated[0] === 'postgresql';
}
