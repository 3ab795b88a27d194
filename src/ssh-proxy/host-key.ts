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
