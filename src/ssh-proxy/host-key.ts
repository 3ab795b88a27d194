import { createHash } from 'node:crypto';
import ssh2 from 'ssh2';
import { CupolaError } from '../kit/errors.ts';

/** At one unreadable key of 256, so many in turn mean that the library makes none. */
const MOST_TRIES = 20;

/**
 * A new Ed25519 host key in OpenSSH's format. It must outlive restarts: clients compare its fingerprint. Throws `no_host_key`.
 */
export function generateHostKey(): string {
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    const key = ssh2.utils.generateKeyPairSync('ed25519').private;
    // The library drops zeros at the front of the public half, and reads no such key: one of 256.
    if (!(ssh2.utils.parseKey(key) instanceof Error)) return key;
  }
  throw new CupolaError('no_host_key', `none of ${MOST_TRIES} new SSH host keys can be read`);
}

/** SHA-256 in base64 without padding or prefix, 43 characters: the cf CLI tells the kind by the length. */
export function fingerprintOf(hostKey: string): string {
  const parsed = ssh2.utils.parseKey(hostKey);
  if (parsed instanceof Error) throw new CupolaError('bad_host_key', 'the SSH host key is no key', { cause: parsed });
  return createHash('sha256').update(parsed.getPublicSSH()).digest('base64').replace(/=+$/, '');
}
