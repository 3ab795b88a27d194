import { createHash } from 'node:crypto';
import { CupolaError } from '../kit/errors.ts';

const MAGIC = Buffer.from('openssh-key-v1\0');
/** Cipher, key derivation and its options stand before the number of keys and the public key. */
const FIELDS_BEFORE = 3;

/**
 * SHA-256 of the public half of a host key, in base64 without padding or prefix, 43 characters: the cf CLI tells the kind by the length.
 * It stands in the clear at the front of OpenSSH's format (PROTOCOL.key), so that whoever only tells it needs no SSH library.
 * Throws `bad_host_key`.
 */
export function fingerprintOf(hostKey: string): string {
  const data = Buffer.from(hostKey.replace(/-----[^-]*-----|\s/g, ''), 'base64');
  const bad = new CupolaError('bad_host_key', 'the SSH host key is no key');
  if (!data.subarray(0, MAGIC.length).equals(MAGIC)) throw bad;
  let at = MAGIC.length;
  const field = (): Buffer => {
    if (at + 4 > data.length) throw bad;
    const end = at + 4 + data.readUInt32BE(at);
    if (end > data.length) throw bad;
    const value = data.subarray(at + 4, end);
    at = end;
    return value;
  };
  for (let count = 0; count < FIELDS_BEFORE; count++) field();
  at += 4;
  const publicKey = field();
  if (publicKey.length === 0) throw bad;
  return createHash('sha256').update(publicKey).digest('base64').replace(/=+$/, '');
}
