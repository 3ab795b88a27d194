import { createHash } from 'node:crypto';
import { programMountOf, supervisorCommandOf } from './program.ts';
import type { PlatformSettings } from './settings/schema.ts';

export const DEFAULT_DATA_DIRECTORY = '/var/lib/cupola';

/** Where everything lies. The data directory is 0700; what other accounts need is shown under /run by bind mounts. */
export interface Layout {
  settings: PlatformSettings;
  /** 0711, root. */
  run: string;
  /** The project, read-only, for accounts that cannot walk to it. */
  program: string;
  logs: string;
  stacks: string;
  /** Images of the engines. */
  engines: string;
  /** Files that hold the namespaces in which engines run. */
  enginePins: string;
  /** The one of a component of this name: another each time the component starts. */
  enginePinOf(component: string): string;
  buildpacks: string;
  secretsFile: string;
  /** Which version of PostgreSQL served last. */
  databaseFile: string;
  supervisorSocket: string;
  processesFile: string;
  /** How often each component was restarted since the platform was brought up. */
  restartsFile: string;
  /** The certificates that were issued to components last. */
  certificatesFile: string;
  /** Where control and each cell hear the supervisor. */
  adminSocketOf(component: string): string;
  /** What the holder of listening sockets holds. */
  listenersFile: string;
  /** Node.js, program and data directory of the supervisor, a line each. */
  supervisorCommand: string;
}

export function layoutOf(settings: PlatformSettings): Layout {
  const run = `/run/cupola-${settings.id}`;
  const data = settings.dataDirectory;
  return {
    settings,
    run,
    program: programMountOf(run),
    logs: `${data}/logs`,
    stacks: `${data}/stacks`,
    engines: `${data}/engines`,
    enginePins: `${run}/engines`,
    enginePinOf: (component) => `${run}/engines/${component}.${process.pid}-${Date.now()}`,
    buildpacks: `${data}/buildpacks`,
    secretsFile: `${data}/secrets.json`,
    databaseFile: `${data}/database.json`,
    supervisorSocket: `${run}/supervisor.sock`,
    processesFile: `${run}/processes.json`,
    restartsFile: `${run}/restarts.json`,
    certificatesFile: `${run}/certificates.json`,
    adminSocketOf: (component) => `${run}/${component}-admin/admin.sock`,
    listenersFile: `${run}/listeners.json`,
    supervisorCommand: supervisorCommandOf(run),
  };
}

/** Three letters of a data directory. */
export function installationId(dataDirectory: string): string {
  const digest = createHash('sha256').update(dataDirectory).digest();
  return [1, 2, 3].map((index) => String.fromCharCode(97 + (digest[index]! % 26))).join('');
}
