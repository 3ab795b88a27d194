import type { Client } from '@connectrpc/connect';
import type { AccessTokenVerifier } from '../contracts/access-token.ts';
import type { Blobs } from '../contracts/blobs.ts';
import type { EnvelopeSender } from '../contracts/envelope-sender.ts';
import type { Bbs } from '../contracts/gen/diego_pb.js';
import type { Ingress } from '../contracts/gen/loggregator_pb.js';
import type { UserDirectory } from '../contracts/user-directory.ts';
import type { Sealer } from '../kit/crypto.ts';
import type { Logger } from '../kit/log.ts';
import type { Actor } from './authorization.ts';
import type { Db, Trx } from './database.ts';
import type { Guid } from './guid.ts';
import type { Jobs } from './jobs/queue.ts';
import type { RequestLimits } from './limits.ts';
import type { Links } from './view.ts';

/** Where the router listens for containers. */
export interface PublicRoutes {
  address: string;
  /** "80,443" */
  ports: string;
}

/** A buildpack that comes with the platform. */
export interface SystemBuildpack {
  name: string;
  position: number;
  stack: string | null;
  /** A zip, and the digest it has. */
  file: string;
  sha256: string;
  /** Another name of the same zip, which the blobstore may take for its own. */
  linkedFile?: string;
}

/** What the operator decides. */
export interface Settings {
  /** Without trailing slash, e.g. "https://api.cupola.localhost". */
  urls: { api: string; uaa: string; login: string; logCache: string; ssh: string };
  /** The default shared domain. */
  domain: string;
  /** The platform's own names ("api.cupola.localhost", …): nobody may claim them (SECURITY 10). */
  systemHosts: readonly string[];
  /** How containers reach public routes; without it the group `public_routes` allows nothing. */
  publicRoutes?: PublicRoutes;
  /** SHA-256 in base64 without prefix; null where there is no SSH. */
  sshHostKeyFingerprint: string | null;
  /** How much callers may ask; REQUEST_LIMITS unless told. */
  requestLimits?: Partial<RequestLimits>;
  /** The router speaks HTTP/2 to apps that ask for it. */
  http2Apps: boolean;
  /** For tests: an operation that ignores a parameter it declares fails (else it is logged), and so does an answer it does not declare. */
  strict?: boolean;
  /** What `GET /v3/info` says of this installation. */
  build: string;
  defaults: { memoryMb: number; diskMb: number; healthCheckTimeoutSeconds: number };
  /** More disk than this no process, task or staging may ask for (`maximum_app_disk_in_mb` elsewhere). */
  maximumAppDiskMb: number;
  storage: StorageSettings;
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

/** What the platform keeps of packages and droplets, and for how long. */
export interface StorageSettings {
  /** What all packages, droplets, caches and matched files of an organization may take together. */
  perOrganizationBytes: number;
  /** Of an app, beside what its current droplet was made of. */
  keptPackages: number;
  /** Of an app, beside what it runs. */
  keptDroplets: number;
  /** How long a file is kept that no push uses. */
  matchedFileDays: number;
}

export const DEFAULT_STORAGE: StorageSettings = {
  perOrganizationBytes: 20 * 1024 ** 3,
  keptPackages: 5,
  keptDroplets: 5,
  matchedFileDays: 30,
};

/** Deletes what lies in a space or an organization, or is a user's, that is deleted. Called outside a transaction; idempotent. */
export type DeleteContents<Own extends string> = (context: Context, guid: Own, actor: Actor) => Promise<void>;

/** Does what is left to do once a transaction is committed. */
export type AfterCommit = () => Promise<void>;

/**
 * Deletes what belongs to an app, and records that, in the transaction that deletes the app; rows that name the app go with it
 * by themselves.
 */
export type DeleteOfApp = (context: Context, trx: Trx, app: GoingApp, actor: Actor) => Promise<AfterCommit | undefined>;

/** What is known of an app that goes. */
export interface GoingApp {
  guid: Guid<'app'>;
  name: string;
  stack: string;
  space_guid: Guid<'space'>;
  organization_guid: Guid<'organization'>;
}

/**
 * Takes some of what stands on a domain away, in a transaction that holds the domain; where all of it would be gone, only if it `mayEnd`.
 * Gives whether that is all of it, and what is left to do.
 */
export type DeleteOnDomain = (
  context: Context,
  trx: Trx,
  domainGuid: Guid<'domain'>,
  actor: Actor,
  mayEnd: boolean,
) => Promise<{ isAll: boolean; after: AfterCommit }>;

/** What goes with what, and how. */
export interface Contents {
  space: DeleteContents<Guid<'space'>>;
  organization: DeleteContents<Guid<'organization'>>;
  user: DeleteContents<string>;
  app: DeleteOfApp;
  domain: DeleteOnDomain;
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
  envelopes: Pick<EnvelopeSender, 'offer'>;
  blobs: Blobs;
  settings: Settings;
  links: Links;
  jobs: Jobs;
  /** What goes with something that is deleted, in the order of `resources.ts`. */
  contents: { readonly [Kind in keyof Contents]: readonly Contents[Kind][] };
  /** What ought to run changed (committed) of these apps, or of all apps in these spaces or organizations: Diego is told now. */
  changed: (guids: readonly string[] | 'all') => void;
  /** Builds or tasks began (committed), or are to end: Diego is told now. */
  tasksChanged: () => void;
  /** The API as an OpenAPI document. */
  document: () => string;
  /** The stack an app gets that names none. */
  defaultStack: string;
}

export type CloudControllerOptions = Omit<
  Context,
  'envelopes' | 'links' | 'jobs' | 'contents' | 'document' | 'clock' | 'changed' | 'tasksChanged' | 'defaultStack'
> & {
  ingress: Client<typeof Ingress>;
  clock?: () => Date;
  /** What comes with the platform; renewed at each start. */
  systemBuildpacks?: readonly SystemBuildpack[];
};
