import type { RequestHandler, ServedHost } from '../../kit/http.ts';
import type { PlatformSettings } from '../settings/schema.ts';
import type { Role } from './names.ts';

/** The system hosts that a role serves; what nobody serves leads to control, where it is not found. */
const HOSTS: Partial<Record<Role, readonly string[]>> = {
  api: ['api'],
  uaa: ['uaa', 'login'],
  logs: ['log-cache'],
};

export function hostNamesOf({ domain }: Pick<PlatformSettings, 'domain'>, role: Role): string[] {
  return (HOSTS[role] ?? []).map((name) => `${name}.${domain}`);
}

/** The router alone comes to them. */
export function hostsOf(
  settings: Pick<PlatformSettings, 'domain'>,
  role: Role,
  handler: RequestHandler,
): Map<string, ServedHost> {
  return new Map(hostNamesOf(settings, role).map((name) => [name, { peers: ['router'], handler }]));
}
