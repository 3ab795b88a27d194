import { AsyncLocalStorage } from 'node:async_hooks';
import { randomUUID } from 'node:crypto';
import { exportJWK, exportPKCS8, generateKeyPair, importPKCS8, type JSONWebKeySet, type JWK } from 'jose';
import type { Kysely, Transaction } from 'kysely';
import { sql } from 'kysely';
import type { Sealer } from '../../kit/crypto.ts';
import { CupolaError } from '../../kit/errors.ts';
import type { UaaSchema } from '../schema.ts';
import type { Clock } from '../settings.ts';

export interface SigningKey {
  kid: string;
  privateKey: CryptoKey;
}

interface LoadedKey extends SigningKey {
  publicJwk: JWK;
  signsFrom: Date;
}

/** How old what a process knows of the keys may be. */
const REFRESH_MS = 5_000;
/** A new key is published this long before it signs, so every process knows it by then. */
const PUBLISH_AHEAD_MS = 3 * REFRESH_MS;

const contextOf = (kid: string): string => `uaa/signing-key/${kid}`;

/**
 * The RS256 keys of the tokens. Private keys lie sealed in the database; all public keys are published, the newest
 * whose time has come signs. The first start makes the first key.
 */
export class SigningKeys {
  readonly #db: Kysely<UaaSchema>;
  readonly #sealer: Sealer;
  readonly #clock: Clock;
  #keys: readonly LoadedKey[] = [];
  #published: JSONWebKeySet = { keys: [] };
  #loadedAt = Number.NEGATIVE_INFINITY;
  #loading: Promise<void> | null = null;
  /** What several wait for is nobody's, and waits for nobody's part of the database. */
  readonly #outside = AsyncLocalStorage.snapshot();

  constructor(db: Kysely<UaaSchema>, sealer: Sealer, clock: Clock) {
    this.#db = db;
    this.#sealer = sealer;
    this.#clock = clock;
  }

  /** Makes the first key where there is none; safe when several processes start at once. */
  async start(): Promise<void> {
    await this.#alone(async (trx) => {
      const any = await trx.selectFrom('signing_keys').select('kid').limit(1).executeTakeFirst();
      if (!any) await this.#create(trx, this.#clock());
    });
    await this.#load();
  }

  /** The key that signs now. */
  async current(): Promise<SigningKey> {
    await this.#freshen();
    const now = this.#clock();
    const key = signingAt(now, this.#keys);
    if (!key) throw new CupolaError('no_signing_key', 'no signing key is in force');
    return key;
  }

  /** The newest first, as RFC 7517 gives them; the same object until they are read anew. */
  async publicKeys(): Promise<JSONWebKeySet> {
    await this.#freshen();
    return this.#published;
  }

  /** Adds a key that signs as soon as every process has published it. Former keys stay until `drop`. */
  async rotate(): Promise<string> {
    const kid = await this.#create(this.#db, new Date(this.#clock().getTime() + PUBLISH_AHEAD_MS));
    await this.#load();
    return kid;
  }

  /**
   * What is due by itself: a new key when the newest is older than `maxAgeMs`, and the end of keys whose successor has signed for
   * longer than any token lives. One process of several does it.
   */
  async tend({ maxAgeMs, longestTokenMs }: { maxAgeMs: number; longestTokenMs: number }): Promise<void> {
    const now = this.#clock().getTime();
    await this.#alone(async (trx) => {
      const keys = await trx
        .selectFrom('signing_keys')
        .select(['kid', 'signs_from'])
        .orderBy('signs_from', 'desc')
        .execute();
      const [newest] = keys;
      if (newest && now - newest.signs_from.getTime() > maxAgeMs) {
        await this.#create(trx, new Date(now + PUBLISH_AHEAD_MS));
      }
      const over = keys.filter((_, index) => {
        const successor = keys[index - 1];
        return successor !== undefined && now - successor.signs_from.getTime() > longestTokenMs;
      });
      for (const { kid } of over) await trx.deleteFrom('signing_keys').where('kid', '=', kid).execute();
    });
    await this.#load();
  }

  /** Every token signed by this key is refused from now on. The key that signs cannot be dropped. */
  async drop(kid: string): Promise<void> {
    await this.#alone(async (trx) => {
      // By the database: another process may have made the key that signs.
      const keys = await trx
        .selectFrom('signing_keys')
        .select(['kid', 'signs_from as signsFrom'])
        .orderBy('signs_from', 'desc')
        .execute();
      if (signingAt(this.#clock(), keys)?.kid === kid) {
        throw new CupolaError('signing_key_in_use', `key ${kid} signs; rotate and wait before dropping it`);
      }
      await trx.deleteFrom('signing_keys').where('kid', '=', kid).execute();
    });
    await this.#load();
  }

  /** Of all processes, one at a time. */
  #alone(work: (trx: Transaction<UaaSchema>) => Promise<void>): Promise<void> {
    return this.#db.transaction().execute(async (trx) => {
      await sql`SELECT pg_advisory_xact_lock(hashtext('uaa:signing-keys'))`.execute(trx);
      await work(trx);
    });
  }

  async #create(db: Kysely<UaaSchema> | Transaction<UaaSchema>, signsFrom: Date): Promise<string> {
    const { publicKey, privateKey } = await generateKeyPair('RS256', { modulusLength: 2048, extractable: true });
    const kid = `uaa-${randomUUID()}`;
    const sealed = this.#sealer.seal(await exportPKCS8(privateKey), contextOf(kid));
    const { n, e } = await exportJWK(publicKey);
    await db
      .insertInto('signing_keys')
      .values({
        kid,
        public_jwk: JSON.stringify({ kty: 'RSA', kid, alg: 'RS256', use: 'sig', n, e }),
        private_key_label: sealed.keyLabel,
        private_key_sealed: sealed.data,
        signs_from: signsFrom,
        created_at: this.#clock(),
      })
      .execute();
    return kid;
  }

  async #freshen(): Promise<void> {
    if (performance.now() - this.#loadedAt < REFRESH_MS) return;
    this.#loading ??= this.#outside(() => this.#load()).finally(() => {
      this.#loading = null;
    });
    await this.#loading;
  }

  async #load(): Promise<void> {
    const rows = await this.#db.selectFrom('signing_keys').selectAll().orderBy('signs_from', 'desc').execute();
    const known = new Map(this.#keys.map((key) => [key.kid, key]));
    this.#keys = await Promise.all(
      rows.map(async (row): Promise<LoadedKey> => {
        const loaded = known.get(row.kid);
        if (loaded) return loaded;
        const sealed = { keyLabel: row.private_key_label, data: row.private_key_sealed };
        const privateKey = await importPKCS8(this.#sealer.open(sealed, contextOf(row.kid)), 'RS256');
        return { kid: row.kid, privateKey, publicJwk: row.public_jwk, signsFrom: row.signs_from };
      }),
    );
    this.#published = { keys: this.#keys.map((key) => key.publicJwk) };
    this.#loadedAt = performance.now();
  }
}

/** Of keys with the newest first. A clock that was set back may stand before all of them: the oldest has been known the longest. */
function signingAt<Key extends { signsFrom: Date }>(now: Date, keys: readonly Key[]): Key | undefined {
  return keys.find(({ signsFrom }) => signsFrom <= now) ?? keys.at(-1);
}
