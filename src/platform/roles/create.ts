import type { ControlBootstrap, RoleBootstrap } from '../bootstrap.ts';
import type { Role as RoleName } from './names.ts';
import type { Role, RoleParts } from './role.ts';

type Create<Name extends RoleName> = (parts: RoleParts, own: RoleBootstrap[Name]) => Promise<Role>;

/** In the order in which they are made: those that others need as they start come first. Only what a process has is loaded. */
const CREATE: { [Name in RoleName]: () => Promise<Create<Name>> } = {
  uaa: async () => (await import('./uaa.ts')).createUaaRole,
  logs: async () => (await import('./logs.ts')).createLogsRole,
  brain: async () => (await import('./brain.ts')).createBrainRole,
  routing: async () => (await import('./routing.ts')).createRoutingRole,
  api: async () => (await import('./api.ts')).createApiRole,
  ssh: async () => (await import('./ssh.ts')).createSshRole,
};

/** Loads what roles consist of, before the process is told anything. Names of a later version are left out. */
export async function loadRoles(names: readonly string[]): Promise<void> {
  const known = Object.keys(CREATE) as RoleName[];
  await Promise.all(known.filter((name) => names.includes(name)).map((name) => CREATE[name]()));
}

/** The roles that a process is told something for. */
export async function createRoles(parts: RoleParts, told: ControlBootstrap['roles']): Promise<Role[]> {
  const made: Role[] = [];
  const create = async <Name extends RoleName>(name: Name): Promise<void> => {
    const own = told[name];
    if (own === undefined) return;
    const role = await (await CREATE[name]())(parts, own as RoleBootstrap[Name]);
    if (role.routes) parts.contracts.serve(name, role.routes);
    made.push(role);
  };
  for (const name of Object.keys(CREATE) as RoleName[]) await create(name);
  return made;
}
