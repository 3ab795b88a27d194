import { createHmac, randomBytes } from 'node:crypto';
import { BAD_CREDENTIALS, UaaError } from '../errors.ts';
import type { Form } from '../http/form.ts';
import type { Asker, Passwords } from '../users/passwords.ts';
import type { Client, ClientStore } from './store.ts';

const REMEMBERED = 10_000;

export interface ClientCredentials {
  id: string;
  secret: string;
}

/**
 * Checks what a client proves itself by. Bcrypt is slow on purpose; a secret that once matched a stored hash is
 * remembered as an HMAC under a key that lives and dies with the process, bound to that hash, so a changed secret is
 * forgotten with the hash it matched.
 */
export class ClientSecrets {
  readonly #clients: ClientStore;
  readonly #passwords: Passwords;
  readonly #key = randomBytes(32);
  readonly #matched = new Set<string>();

  constructor(clients: ClientStore, passwords: Passwords) {
    this.#clients = clients;
    this.#passwords = passwords;
  }

  /** The client, once it has proved itself; `asker` is who asks. Throws `invalid_client`; which part was wrong is said only to the log. */
  async authenticate(credentials: ClientCredentials, asker: Asker): Promise<Client> {
    const client = await this.#clients.byId(credentials.id);
    if (client && (await this.matches(client, credentials.secret, asker))) return client;
    if (!client) await this.#passwords.verify(credentials.secret, null, asker);
    throw new UaaError('invalid_client', BAD_CREDENTIALS, {
      reason: client ? 'wrong client secret' : 'unknown client',
    });
  }

  /** A public client is known by the empty secret alone. */
  async matches(client: Client, secret: string, asker: Asker): Promise<boolean> {
    if (client.secret_hashes.length === 0) return secret === '';
    return (await this.matching(client, secret, asker)) !== null;
  }

  /** The stored hash that a secret matches; null where there is none. */
  async matching(client: Client, secret: string, asker: Asker): Promise<string | null> {
    for (const stored of client.secret_hashes) {
      if (this.#matched.has(this.#memory(client.client_id, stored, secret))) return stored;
    }
    for (const stored of client.secret_hashes) {
      if (await this.#passwords.verify(secret, stored, asker)) {
        if (this.#matched.size >= REMEMBERED) this.#matched.clear();
        this.#matched.add(this.#memory(client.client_id, stored, secret));
        return stored;
      }
    }
    return null;
  }

  #memory(clientId: string, stored: string, secret: string): string {
    return createHmac('sha256', this.#key)
      .update(JSON.stringify([clientId, stored, secret]))
      .digest('base64');
  }
}

/**
 * RFC 6749 section 2.3.1: Basic (form-encoded inside), or `client_id` and `client_secret` in the body. Null where
 * neither is there. Throws `invalid_client` where both are and differ, or where Basic is malformed.
 */
export function clientCredentialsOf(authorization: string | undefined, form: Form | null): ClientCredentials | null {
  const basic = authorization === undefined ? null : basicCredentials(authorization);
  const id = form?.get('client_id') ?? null;
  const secret = form?.get('client_secret') ?? null;
  if (basic) {
    if ((id !== null && id !== basic.id) || (secret !== null && secret !== basic.secret)) {
      throw new UaaError('invalid_client', BAD_CREDENTIALS, { reason: 'two different client credentials' });
    }
    return basic;
  }
  return id === null ? null : { id, secret: secret ?? '' };
}

function basicCredentials(authorization: string): ClientCredentials | null {
  const encoded = /^basic +([\w+/=-]+)$/i.exec(authorization)?.[1];
  if (encoded === undefined) return null;
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon < 1 || text.includes('\0')) {
    throw new UaaError('invalid_client', BAD_CREDENTIALS, { reason: 'malformed Basic credentials' });
  }
  return { id: formDecoded(text.slice(0, colon)), secret: formDecoded(text.slice(colon + 1)) };
}

/** Most clients send the secret as it is; where it does not decode it is taken literally. */
function formDecoded(text: string): string {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
