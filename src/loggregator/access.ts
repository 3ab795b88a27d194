import { createHash } from 'node:crypto';
import { type AccessTokenVerifier, InvalidTokenError } from '../contracts/access-token.ts';

/** Which of these sources may the bearer of this token read? Asked of the Cloud Controller, in one question. */
export type LogAccess = (accessToken: string, sourceIds: readonly string[]) => Promise<readonly string[]>;

/** Who asks: the token, which is kept nowhere, and whose it is. */
export interface Bearer {
  token: string;
  name: string;
}

/** As long as a revoked token may be good: what is taken away, by whichever of the two ways, is gone within the same time. */
const ALLOWED_FOR_MS = 5_000;
const DENIED_FOR_MS = 1_000;
/** The Cloud Controller is asked again, while what is known serves: who follows a log does not wait for it. */
const REFRESH_MS = 2_000;
const MOST_REMEMBERED = 20_000;

/**
 * Decides who reads what, and remembers it for moments: someone who follows a log asks four times a second. A role that
 * is taken away takes effect within five seconds; an expired or revoked token is the verifier's affair, which is asked each time.
 */
export class ReadAccess {
  readonly #access: LogAccess;
  readonly #tokens: Pick<AccessTokenVerifier, 'verify'>;
  readonly #now: () => number;
  readonly #remembered = new Map<string, { allowed: boolean; askedAt: number }>();
  /** What is asked again, while what is known serves. */
  readonly #refreshed = new Set<string>();

  constructor(
    access: LogAccess,
    tokens: Pick<AccessTokenVerifier, 'verify'>,
    now: () => number = () => performance.now(),
  ) {
    this.#access = access;
    this.#tokens = tokens;
    this.#now = now;
  }

  /** By the token of an Authorization header, checked; null where it is none. Throws UaaUnavailableError. */
  async bearerOf(authorization: string | undefined): Promise<Bearer | null> {
    const token = /^bearer +([\w.~+/=-]+)$/i.exec(authorization ?? '')?.[1];
    if (token === undefined) return null;
    try {
      const { userId, clientId } = await this.#tokens.verify(token);
      return { token, name: userId === null ? `client ${clientId}` : `user ${userId}` };
    } catch (error) {
      if (error instanceof InvalidTokenError) return null;
      throw error;
    }
  }

  /** Of many sources; not remembered. */
  async readable({ token }: Bearer, sourceIds: readonly string[]): Promise<ReadonlySet<string>> {
    return sourceIds.length === 0 ? new Set() : new Set(await this.#access(token, sourceIds));
  }

  async mayRead({ token }: Bearer, sourceId: string): Promise<boolean> {
    const key = createHash('sha256').update(token).update('\0').update(sourceId).digest('base64');
    const known = this.#remembered.get(key);
    const ask = (): Promise<boolean> => this.#ask(key, token, sourceId);
    const age = known ? this.#now() - known.askedAt : Number.POSITIVE_INFINITY;
    if (!known || age >= (known.allowed ? ALLOWED_FOR_MS : DENIED_FOR_MS)) return ask();
    if (age >= REFRESH_MS && !this.#refreshed.has(key)) {
      this.#refreshed.add(key);
      // Where nobody answers, the next one asks.
      void ask()
        .catch(() => {})
        .finally(() => this.#refreshed.delete(key));
    }
    return known.allowed;
  }

  async #ask(key: string, token: string, sourceId: string): Promise<boolean> {
    // An answer is as old as its question: it may have been under way when the role went.
    const askedAt = this.#now();
    const allowed = (await this.#access(token, [sourceId])).includes(sourceId);
    if (this.#remembered.size >= MOST_REMEMBERED) this.#remembered.clear();
    if ((this.#remembered.get(key)?.askedAt ?? askedAt) <= askedAt) this.#remembered.set(key, { allowed, askedAt });
    return allowed;
  }
}
