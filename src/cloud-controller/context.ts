import type { Client } from '@connectrpc/connect';
import type { AccessTokenVerifier } from '../contracts/access-token.ts';
import type { Blobs } from '../contracts/blobs.ts';
import type { Bbs } from '../contracts/gen/diego_pb.js';
import type { Ingress } from '../contracts/gen/loggregator_pb.js';
import type { UserDirectory } from '../contracts/user-directory.ts';
import type { Sealer } from '../kit/crypto.ts';
import type { Logger } from '../kit/log.ts';
import type { SystemBuildpack } from './buildpacks/seed.ts';
import type { Db } from './database.ts';
import type { Hooks } from './hooks.ts';
import type { Jobs } from './jobs/jobs.ts';
import type { PublicRoutes } from './security-groups/seed.ts';
import type { Links } from './view.ts';

/** What the operator decides. */
export interface Settings {
  /** Without trailing slash, e.g. "https://api.cupola.localhost". */
  urls: { api: string; uaa: string; login: string; logCache: string; ssh: string };
  /** The default shared domain. */
  domain: string;
  /** Hosts of `domain` that belong to the platform ("api", "uaa", …): nobody may claim them (SECURITY 10). */
  reservedHosts: readonly string[];
  /** How containers reach public routes; without it the group `public_routes` allows nothing. */
  publicRoutes?: PublicRoutes;
  /** SHA-256 in base64 without prefix; null where there is no SSH. */
  sshHostKeyFingerprint: string | null;
  /** What `GET /v3/info` says of this installation. */
  build: string;
  defaults: { memoryMb: number; diskMb: number; healthCheckTimeoutSeconds: number };
  staging: {
    memoryMb: number;
    diskMb: number;
    timeoutSeconds: number;
    /** Goes into every staging container, e.g. the package registry to use. */
    environment: Readonly<Record<string, string>>;
    /** Reachable while staging beside what security groups allow. */
    egress: readonly { protocol: string; destination: string; ports: string }[];
  };
}

/** What an operation has at hand. */
export interface Context {
  db: Db;
  sealer: Sealer;
  log: Logger;
  clock: () => Date;
  tokens: AccessTokenVerifier;
  users: UserDirectory;
  bbs: Client<typeof Bbs>;
  ingress: Client<typeof Ingress>;
  blobs: Blobs;
  settings: Settings;
  links: Links;
  jobs: Jobs;
  hooks: Hooks;
  /** What ought to run changed (committed): bring Diego up to date now. */
  wakeDiego: () => void;
  /** The stack an app gets that names none. */
  defaultStack: string;
}

export type CloudControllerOptions = Omit<
  Context,
  'links' | 'jobs' | 'hooks' | 'clock' | 'wakeDiego' | 'defaultStack'
> & {
  clock?: () => Date;
  /** What comes with the platform; renewed at each start. */
  systemBuildpacks?: readonly SystemBuildpack[];
};
