import type { Kysely } from 'kysely';
import type { Sealer } from '../kit/crypto.ts';
import type { Logger } from '../kit/log.ts';
import type { RateLimit } from '../kit/rate.ts';
import type { UaaSchema } from './schema.ts';

export type Clock = () => Date;

/** A client as the manifest declares it. Without a secret it is public, like `cf`. */
export interface ClientDefinition {
  id: string;
  name?: string;
  secret?: string;
  scope?: readonly string[];
  authorities?: readonly string[];
  grantTypes: readonly GrantType[];
  redirectUris?: readonly string[];
  autoApprove?: readonly string[];
  accessTokenSeconds?: number;
  refreshTokenSeconds?: number;
}

export type GrantType = 'password' | 'refresh_token' | 'client_credentials' | 'authorization_code';
export const GRANT_TYPES: readonly GrantType[] = [
  'password',
  'refresh_token',
  'client_credentials',
  'authorization_code',
];

/** UAA-11. Gives null where the password is good, otherwise the sentence the user reads. */
export type PasswordPolicy = (password: string) => string | null;

export interface LockoutPolicy {
  /** Failed logins of one name … */
  failures: number;
  /** … within this many seconds … */
  withinSeconds: number;
  /** … lock it for this many. */
  lockSeconds: number;
}

export interface UaaOptions {
  db: Kysely<UaaSchema>;
  /** Seals the private signing keys. */
  sealer: Sealer;
  log: Logger;
  /** Public addresses without a slash at the end, e.g. https://uaa.example.com. */
  urls: { uaa: string; login: string };
  /** `iss` of every token; by default `<uaa url>/oauth/token`. */
  issuer?: string;
  bootstrap?: {
    /** Created at the first start with the administrator's groups; later starts leave its password alone. */
    adminUser?: { userName: string; password: string };
    /** What the manifest declares wins over what the database has (UAA-09). `cf` always exists. */
    clients?: readonly ClientDefinition[];
  };
  passwordPolicy?: PasswordPolicy;
  lockout?: LockoutPolicy;
  /** Cost of bcrypt: 10 unless told, as UAA's. */
  bcryptCost?: number;
  accessTokenSeconds?: number;
  refreshTokenSeconds?: number;
  /** Called after each change that may have revoked tokens, so that verifiers need not wait for their next look. */
  revoked?: () => void;
  clock?: Clock;
  /** How many requests one address may send; DEFAULT_REQUEST_RATE unless told, null for no limit. */
  requestRate?: RateLimit | null;
}

/** Far above what a build farm behind one address asks for. */
export const DEFAULT_REQUEST_RATE: RateLimit = { limit: 60_000, intervalMs: 60_000 };

export const DEFAULT_LOCKOUT: LockoutPolicy = { failures: 5, withinSeconds: 3600, lockSeconds: 300 };
export const DEFAULT_ACCESS_TOKEN_SECONDS = 1200;
export const DEFAULT_REFRESH_TOKEN_SECONDS = 2_592_000;
/** No refresh token lives longer, whatever its client asks for: so long the id of a revoked token is kept. */
export const MAX_REFRESH_TOKEN_SECONDS = 90 * 86_400;
const MINIMUM_PASSWORD_LENGTH = 8;

/** At least `minimum` characters. */
export function minimumLengthPolicy(minimum: number = MINIMUM_PASSWORD_LENGTH): PasswordPolicy {
  return (password) =>
    [...password].length < minimum ? `Password must be at least ${minimum} characters in length.` : null;
}
