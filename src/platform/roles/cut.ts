import { ownLoopback } from '../addresses.ts';
import type { PlatformSettings } from '../settings/schema.ts';
import { ROLES, type Role, SEPARABLE, type SeparableRole } from './names.ts';

type Cut = Pick<PlatformSettings, 'overlay' | 'separateRoles'>;

/** One process of those that `control` may be cut into. Its name is that of its certificate, its log and its admin socket. */
export interface RoleProcess {
  name: string;
  roles: readonly Role[];
  /** Where it listens, at `ports.control` and `ports.rpc`. */
  address: string;
}

/** The one that has the API, and every role that has no process of its own. */
export const CONTROL = 'control';
/** What is apart where nobody says it (decision 0036). */
export const DEFAULT_SEPARATE: readonly SeparableRole[] = ['uaa', 'logs'];

/** All of them, in the order in which they are replaced: what others ask comes before those that ask. */
export function roleProcesses(settings: Cut): RoleProcess[] {
  const { separateRoles = DEFAULT_SEPARATE } = settings;
  const apart: readonly Role[] = SEPARABLE.filter((role) => separateRoles.includes(role));
  return [
    ...apart.map((role) => ({ name: role, roles: [role], address: addressOf(settings, role) })),
    { name: CONTROL, roles: ROLES.filter((role) => !apart.includes(role)), address: '127.0.0.1' },
  ];
}

/** The process that has a role. */
export function processOf(settings: Cut, role: Role): RoleProcess {
  return roleProcesses(settings).find(({ roles }) => roles.includes(role))!;
}

/** The processes that come to the bus: the SSH proxy has no use for events. */
export function busPeers(settings: Cut): string[] {
  return roleProcesses(settings)
    .filter(({ roles }) => roles.some((role) => role !== 'ssh'))
    .map(({ name }) => name);
}

/** The same whatever else is apart, so that a process that runs stays where it is. */
function addressOf({ overlay }: Cut, role: Role): string {
  return ownLoopback({ overlay }, ROLES.indexOf(role));
}
