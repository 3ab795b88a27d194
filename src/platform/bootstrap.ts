import { text } from 'node:stream/consumers';
import type { KeyAndCertificate } from '../kit/pki.ts';
import type { Identity } from '../kit/tls.ts';
import type { Secrets } from './secrets.ts';
import type { PlatformSettings } from './settings.ts';

/** A buildpack that comes with the platform, as `up` built it. */
export interface SystemBuildpackFile {
  name: string;
  position: number;
  stack: string;
  file: string;
  sha256: string;
}

/** What the supervisor tells control on standard input: secrets stand in no file, argument or environment. */
export interface ControlBootstrap {
  settings: PlatformSettings;
  identity: Identity;
  maxConnections: number;
  /** The listening socket for the router's access log, which control inherits. */
  accessLogDescriptor: number;
  buildpacks: SystemBuildpackFile[];
  /** For every staging container. */
  stagingEnvironment: Record<string, string>;
  secrets: Pick<Secrets, 'databaseKey' | 'blobSigningKey' | 'adminPassword' | 'clientSecrets' | 'sshHostKey'>;
}

/** What the supervisor tells a cell on standard input. */
export interface CellBootstrap {
  settings: PlatformSettings;
  index: number;
  identity: Identity;
  maxConnections: number;
  proxyAccount: { uid: number; gid: number };
  /** Vouches for public routes: apps trust it, so that they reach each other by name. Two, while one takes the place of another. */
  routerRoot: string;
  instanceIdentity: { intermediate: KeyAndCertificate; rootCertificate: string };
  buildpacks: SystemBuildpackFile[];
}

/** What the supervisor tells a running cell when certificates or roots changed. */
export type CellRenewal = Pick<CellBootstrap, 'identity' | 'instanceIdentity' | 'routerRoot'>;

/** Certificates of instances on a cell: how many, and when the first of them ends (milliseconds). */
export interface CellCredentials {
  count: number;
  earliestEnd: number | null;
}

export async function readBootstrap<Bootstrap>(): Promise<Bootstrap> {
  return JSON.parse(await text(process.stdin)) as Bootstrap;
}

/** Ends the process in order when the supervisor asks; a second signal ends it at once. */
export function onTermination(close: () => Promise<void>): void {
  let asked = false;
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    process.on(name, () => {
      if (asked) process.exit(1);
      asked = true;
      void close().then(
        () => process.exit(0),
        () => process.exit(1),
      );
    });
  }
}
