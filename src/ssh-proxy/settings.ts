import type { Client } from '@connectrpc/connect';
import type { CloudControllerInternal } from '../contracts/gen/cloud-controller_pb.js';
import type { Bbs, CellPresence } from '../contracts/gen/diego_pb.js';
import type { Ingress } from '../contracts/gen/loggregator_pb.js';
import type { CellSsh } from '../contracts/gen/ssh_pb.js';
import type { Logger } from '../kit/log.ts';

/** The way to one cell for one connection, so that connections do not wait for each other. */
export interface CellLink {
  ssh: Client<typeof CellSsh>;
  close(): void;
}

export interface SshProxyOptions {
  /** As `generateHostKey` made it. */
  hostKey: string;
  /** Where clients come; null where they only come through the router. */
  public: { host: string; port: number } | null;
  /**
   * A listening Unix socket, inherited: connections from the router, each beginning with a PROXY protocol v2 header that names its
   * client. Whoever may connect can name any client, so that the router's account alone may.
   */
  behindRouter: { descriptor: number } | null;
  /** A one-time code, and the address that showed it, for its user's access token; null for one that is no good. Each code is tried once. */
  exchangeCode: (code: string, address: string) => Promise<string | null>;
  cloudController: Pick<Client<typeof CloudControllerInternal>, 'sshAccess'>;
  bbs: Pick<Client<typeof Bbs>, 'actualLrps' | 'cells'>;
  cell: (presence: CellPresence) => CellLink;
  /** The log of the app: who came, and when they went. */
  ingress: Pick<Client<typeof Ingress>, 'send'>;
  log: Logger;
  limits?: Partial<Limits>;
}

export interface Limits {
  /** Connections that have not said who they are: in all, and from one address. */
  unauthenticated: number;
  unauthenticatedPerAddress: number;
  /** How long they may take. A person may be typing. */
  loginMs: number;
  /** What each may send; keys and a code take some kilobytes. */
  loginBytes: number;
  /** Passwords tried on one connection. */
  attempts: number;
  /** Connections that have, and what runs in them: in all, of which a user and an app have a share. */
  connections: number;
  allSessions: number;
  /** What all clients together may have sent that nobody took yet, of which a user has a share. */
  unreadBytes: number;
  /** At a time on one connection: shells and commands, and these together with forwarded connections. */
  sessions: number;
  channels: number;
}

export const LIMITS: Limits = {
  unauthenticated: 200,
  unauthenticatedPerAddress: 60,
  loginMs: 60_000,
  loginBytes: 64 * 1024,
  attempts: 3,
  connections: 500,
  allSessions: 500,
  unreadBytes: 256 * 1024 ** 2,
  sessions: 10,
  channels: 100,
};

/** What both sides must have: nothing with SHA-1, CBC, small groups or message authentication before encryption. */
export const ALGORITHMS = {
  kex: ['curve25519-sha256', 'curve25519-sha256@libssh.org', 'ecdh-sha2-nistp256', 'ecdh-sha2-nistp384'],
  serverHostKey: ['ssh-ed25519'],
  cipher: [
    'aes256-gcm@openssh.com',
    'aes128-gcm@openssh.com',
    'chacha20-poly1305@openssh.com',
    'aes256-ctr',
    'aes128-ctr',
  ],
  hmac: ['hmac-sha2-256-etm@openssh.com', 'hmac-sha2-512-etm@openssh.com', 'hmac-sha2-256', 'hmac-sha2-512'],
  compress: ['none'],
} as const;
