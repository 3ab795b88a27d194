import { createHash } from 'node:crypto';
import { type AccessTokenVerifier, InvalidTokenError } from '../contracts/access-token.ts';

/** May the bearer of this token read this source? Asked of the Cloud Controller. */
export type LogAccess = (accessToken: string, sourceId: string) => Promise<boolean>;

const ALLOWED_FOR_MS = 10_000;
const DENIED_FOR_MS = 1_000;
const MOST_REMEMBERED = 20_000;

/**
 * Decides who reads what, and remembers it for moments: someone who follows a log asks four times a second. A role that
 * is taken away takes effect within ten seconds, an expired token at once where a verifier is given.
 */
export class ReadAccess {
  readonly #access: LogAccess;
  readonly #tokens: AccessTokenVerifier | undefined;
  readonly #remembered = new Map<string, { allowed: boolean; until: number }>();

  constructor(access: LogAccess, tokens?: AccessTokenVerifier) {
    this.#access = access;
    this.#tokens = tokens;
  }

  /** The token of an Authorization header, checked where that can be done here; null where it is none. */
  async tokenOf(authorization: string | undefined): Promise<string | null> {
    const token = /^bearer +([\w.~+/=-]+)$/i.exec(authorization ?? '')?.[1];
    if (token === undefined) return null;
    try {
      await this.#tokens?.verify(token);
      return token;
    } catch (error) {
      if (error instanceof InvalidTokenError) return null;
      throw error;
    }
  }

  async mayRead(token: string, sourceId: string): Promise<boolean> {
    const key = createHash('sha256').update(token).update('\0').update(sourceId).digest('base64');
    const known = this.#remembered.get(key);
    if (known && known.until > performance.now()) return known.allowed;
    const allowed = await this.#access(token, sourceId);
    if (this.#remembered.size >= MOST_REMEMBERED) this.#remembered.clear();
    this.#remembered.set(key, {
      allowed,
      until: performance.now() + (allowed ? ALLOWED_FOR_MS : DENIED_FOR_MS),
    });
    return allowed;
  }
}
