import type { Client } from '@connectrpc/connect';
import type { JSONWebKeySet } from 'jose';
import Type from 'typebox';
import { checkedJson } from '../kit/checked.ts';
import type { TokenKeys as TokenKeysService } from './gen/uaa_pb.js';

export interface TokenKeyTimes {
  /** UAA is asked again, while those that are known serve. */
  refreshMs: number;
  /** What is older than this is no ground to let a token pass. A key that is made is published for three times as long before it signs. */
  maxAgeMs: number;
}
const TOKEN_KEY_TIMES: TokenKeyTimes = { refreshMs: 2_000, maxAgeMs: 5_000 };

const KeySet = Type.Object({ keys: Type.Array(Type.Object({ kty: Type.String() })) });

/**
 * The public keys of UAA, for the verifiers of this process. Each is good for as long after UAA was heard as its revocations are
 * (RevocationList), so that a UAA that is started again is not noticed.
 */
export class TokenKeys {
  readonly #uaa: Pick<Client<typeof TokenKeysService>, 'keys'>;
  readonly #times: TokenKeyTimes;
  #text = '';
  #known: JSONWebKeySet | null = null;
  /** When the question was asked whose answer is the newest we have. */
  #asOf = Number.NEGATIVE_INFINITY;
  #asking: Promise<JSONWebKeySet> | null = null;

  constructor(uaa: Pick<Client<typeof TokenKeysService>, 'keys'>, times: TokenKeyTimes = TOKEN_KEY_TIMES) {
    this.#uaa = uaa;
    this.#times = times;
  }

  /** The same object for as long as they are the same. Throws where UAA does not answer and none are known as of now. */
  async keys(): Promise<JSONWebKeySet> {
    const age = performance.now() - this.#asOf;
    if (this.#known && age < this.#times.refreshMs) return this.#known;
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = null;
    });
    if (!this.#known || age > this.#times.maxAgeMs) return this.#asking;
    this.#asking.catch(() => {}); // asked again by the next token
    return this.#known;
  }

  async #ask(): Promise<JSONWebKeySet> {
    const askedAt = performance.now();
    const { jwks } = await this.#uaa.keys({});
    if (jwks !== this.#text || !this.#known) {
      this.#known = checkedJson(KeySet, jwks, { code: 'invalid_keys', what: 'what UAA tells of its keys' });
      this.#text = jwks;
    }
    this.#asOf = askedAt;
    return this.#known;
  }
}
