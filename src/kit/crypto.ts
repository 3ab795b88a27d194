import { createCipheriv, createDecipheriv, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto';
import { CupolaError } from './errors.ts';

/** A column as it lies in the database: which key, and nonce + ciphertext + tag. */
export interface Sealed {
  keyLabel: string;
  data: Buffer;
}

/** AES-256-GCM under labelled keys: the first seals, all of them open. `context` binds a value to its row. */
export class Sealer {
  readonly #keys: ReadonlyMap<string, Buffer>;
  readonly #current: string;

  constructor(keys: readonly { label: string; key: Buffer }[]) {
    const [first] = keys;
    if (!first) throw new CupolaError('no_encryption_key', 'a sealer needs at least one key');
    for (const { label, key } of keys) {
      if (key.length !== 32) throw new CupolaError('bad_encryption_key', `key ${label} must have 32 bytes`);
    }
    this.#keys = new Map(keys.map(({ label, key }) => [label, key]));
    this.#current = first.label;
  }

  seal(plaintext: string, context: string): Sealed {
    const nonce = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', this.#keys.get(this.#current)!, nonce);
    cipher.setAAD(Buffer.from(context));
    const body = Buffer.concat([cipher.update(plaintext, 'utf8'), cipher.final()]);
    return { keyLabel: this.#current, data: Buffer.concat([nonce, body, cipher.getAuthTag()]) };
  }

  /** Throws `unknown_key_label` or `decryption_failed`. */
  open(sealed: Sealed, context: string): string {
    const key = this.#keys.get(sealed.keyLabel);
    if (!key) throw new CupolaError('unknown_key_label', `no key is labelled ${sealed.keyLabel}`);
    try {
      const decipher = createDecipheriv('aes-256-gcm', key, sealed.data.subarray(0, 12));
      decipher.setAAD(Buffer.from(context));
      decipher.setAuthTag(sealed.data.subarray(-16));
      return Buffer.concat([decipher.update(sealed.data.subarray(12, -16)), decipher.final()]).toString('utf8');
    } catch (cause) {
      throw new CupolaError('decryption_failed', 'a sealed value did not open', { cause });
    }
  }
}

/** A sub-key for one purpose, so that one secret never serves two. */
export function deriveKey(master: Buffer, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', master, Buffer.alloc(0), purpose, 32));
}

/** `bytes` of randomness in base64url (24 bytes: 32 characters). */
export function randomSecret(bytes = 24): string {
  return randomBytes(bytes).toString('base64url');
}

export function sameSecret(a: string, b: string): boolean {
  const left = Buffer.from(a);
  const right = Buffer.from(b);
  return left.length === right.length && timingSafeEqual(left, right);
}
