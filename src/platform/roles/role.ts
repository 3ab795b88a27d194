import { AccessTokenVerifier } from '../../contracts/access-token.ts';
import { TokenRevocations } from '../../contracts/gen/token-revocations_pb.js';
import { TokenKeys as TokenKeysService } from '../../contracts/gen/uaa_pb.js';
import { RevocationList } from '../../contracts/revocation-list.ts';
import { TokenKeys } from '../../contracts/token-keys.ts';
import { type Bus, connectBus, SUBJECTS } from '../../kit/bus.ts';
import { Sealer } from '../../kit/crypto.ts';
import { openDatabase } from '../../kit/database.ts';
import type { ServedHost } from '../../kit/http.ts';
import type { Logger } from '../../kit/log.ts';
import type { Routes } from '../../kit/rpc.ts';
import type { Identity } from '../../kit/tls.ts';
import type { AdminOperations } from '../admin-socket.ts';
import { POSTGRESQL_PORT } from '../engines/postgresql/server.ts';
import type { Layout } from '../layout.ts';
import { publicUrl } from '../public-names.ts';
import type { PlatformSettings } from '../settings/schema.ts';
import type { Contracts } from './contracts.ts';

/** What a role brings to the process that it is in. */
export interface Role {
  /** What it serves other rooms, cells and the supervisor. */
  routes?: Routes;
  /** What it serves clients and cells over HTTPS, by host. */
  hosts?: ReadonlyMap<string, ServedHost>;
  /** What it serves the supervisor. */
  operations?: AdminOperations;
  /** What must be done before anything is served, once all roles of the process are made. */
  prepare?(): Promise<void>;
  /** Begins its work, once everything is served. */
  start?(): Promise<void>;
  close(): Promise<void>;
}

/** What roles are made of, whichever process they are in. What they share is made when one asks for it. */
export class RoleParts {
  readonly settings: PlatformSettings;
  readonly layout: Layout;
  readonly identity: Identity;
  readonly contracts: Contracts;
  readonly log: Logger;
  #bus: Promise<Bus> | null = null;
  #tokens: { verifier: AccessTokenVerifier; revocations: RevocationList } | null = null;

  constructor(own: Pick<RoleParts, 'settings' | 'layout' | 'identity' | 'contracts' | 'log'>) {
    this.settings = own.settings;
    this.layout = own.layout;
    this.identity = own.identity;
    this.contracts = own.contracts;
    this.log = own.log;
  }

  /** `<run>/control`, which is the account's. */
  get state(): string {
    return `${this.layout.run}/control`;
  }

  /** The schema of a room, opened with its role. */
  database<Schema>(room: string) {
    return openDatabase<Schema>(
      {
        socketDirectory: `${this.layout.run}/postgresql/socket`,
        port: POSTGRESQL_PORT,
        database: 'cupola',
        role: room,
        schema: room,
      },
      this.log.child('database'),
    );
  }

  /** `key`: 32 bytes, base64. */
  sealer(key: string): Sealer {
    return new Sealer([{ label: 'database-1', key: Buffer.from(key, 'base64') }]);
  }

  bus(): Promise<Bus> {
    this.#bus ??= connectBus(`tls://127.0.0.1:${this.settings.ports.nats}`, this.identity, this.log.child('bus'));
    return this.#bus;
  }

  /** Checks the tokens of users of the API, and begins to follow what is revoked. */
  async tokens(): Promise<AccessTokenVerifier> {
    if (this.#tokens) return this.#tokens.verifier;
    const bus = await this.bus();
    const revocations = new RevocationList({
      uaa: this.contracts.client(TokenRevocations),
      log: this.log.child('token-revocations'),
    });
    const keys = new TokenKeys(this.contracts.client(TokenKeysService));
    const verifier = new AccessTokenVerifier({
      issuer: `${publicUrl(this.settings, 'uaa')}/oauth/token`,
      audience: 'cloud_controller',
      keys: () => keys.keys(),
      revocations,
    });
    this.#tokens = { verifier, revocations };
    bus.subscribe(SUBJECTS.revocations, () => revocations.wake());
    revocations.start();
    return verifier;
  }

  /** What is shared, once no role uses it any more. */
  async close(): Promise<void> {
    await this.#tokens?.revocations.stop();
    await (await this.#bus)?.close();
  }
}
