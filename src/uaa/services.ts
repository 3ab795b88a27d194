import type { Kysely } from 'kysely';
import type { Logger } from '../kit/log.ts';
import { ClientSecrets } from './clients/secrets.ts';
import { ClientStore } from './clients/store.ts';
import { GroupStore } from './groups/store.ts';
import { SigningKeys } from './keys/signing-keys.ts';
import { AuthorizationCodes } from './oauth/authorization-codes.ts';
import { Revocations } from './oauth/revocations.ts';
import { TokenVerifier } from './oauth/token-verifier.ts';
import { TokenIssuer } from './oauth/tokens.ts';
import type { UaaSchema } from './schema.ts';
import {
  type Clock,
  DEFAULT_ACCESS_TOKEN_SECONDS,
  DEFAULT_LOCKOUT,
  DEFAULT_REFRESH_TOKEN_SECONDS,
  MAX_REFRESH_TOKEN_SECONDS,
  minimumLengthPolicy,
  type PasswordPolicy,
  type UaaOptions,
} from './settings.ts';
import { LoginGuard } from './users/login-guard.ts';
import { Passwords } from './users/passwords.ts';
import { UserStore } from './users/store.ts';

/** The parts that operations are made of. */
export interface Services {
  db: Kysely<UaaSchema>;
  log: Logger;
  /** Who did what to whom, without secrets. */
  audit: Logger;
  clock: Clock;
  urls: { uaa: string; login: string };
  issuer: string;
  passwordPolicy: PasswordPolicy;
  passwords: Passwords;
  keys: SigningKeys;
  users: UserStore;
  groups: GroupStore;
  clients: ClientStore;
  secrets: ClientSecrets;
  guard: LoginGuard;
  revocations: Revocations;
  codes: AuthorizationCodes;
  tokens: TokenIssuer;
  verifier: TokenVerifier;
  /** How long a token that is issued now may be shown (milliseconds). */
  longestTokenMs(): Promise<number>;
}

export function createServices(options: UaaOptions): Services {
  const { db, sealer, log, urls } = options;
  const clock = options.clock ?? (() => new Date());
  const issuer = options.issuer ?? `${urls.uaa}/oauth/token`;
  const passwords = new Passwords(options.bcryptCost ?? 10);
  const keys = new SigningKeys(db, sealer, clock);
  const users = new UserStore(db, clock);
  const clients = new ClientStore(db, clock);
  const revocations = new Revocations(db, clock);
  const lifetimes = {
    accessTokenSeconds: options.accessTokenSeconds ?? DEFAULT_ACCESS_TOKEN_SECONDS,
    refreshTokenSeconds: options.refreshTokenSeconds ?? DEFAULT_REFRESH_TOKEN_SECONDS,
  };
  return {
    db,
    log,
    audit: log.child('audit'),
    clock,
    urls,
    issuer,
    passwordPolicy: options.passwordPolicy ?? minimumLengthPolicy(),
    passwords,
    keys,
    users,
    clients,
    revocations,
    groups: new GroupStore(db, clock),
    secrets: new ClientSecrets(clients, passwords),
    guard: new LoginGuard(db, options.lockout ?? DEFAULT_LOCKOUT, clock),
    codes: new AuthorizationCodes(db, clock),
    tokens: new TokenIssuer(keys, issuer, lifetimes, clock),
    verifier: new TokenVerifier({ keys, issuer, users, clients, revocations, clock }),
    longestTokenMs: async () => {
      const row = await db
        .selectFrom('clients')
        .select(({ fn }) => [
          fn.max('access_token_seconds').as('access'),
          fn.max('refresh_token_seconds').as('refresh'),
        ])
        .executeTakeFirst();
      const own = [lifetimes.accessTokenSeconds, lifetimes.refreshTokenSeconds];
      return 1000 * Math.min(MAX_REFRESH_TOKEN_SECONDS, Math.max(...own, row?.access ?? 0, row?.refresh ?? 0));
    },
  };
}
