import { createHash } from 'node:crypto';
import ssh2 from 'ssh2';
import { CupolaError } from '../kit/errors.ts';

/** A new Ed25519 host key in OpenSSH's format. It must outlive restarts: clients compare its fingerprint. */
export function generateHostKey(): string {
  return ssh2.utils.generateKeyPairSync('ed25519').private;
}

/** SHA-256 in base64 without padding or prefix, 43 characters: the cf CLI tells the kind by the length. */
export function fingerprintOf(hostKey: string): string {
  const parsed = ssh2.utils.parseKey(hostKey);
  if (parsed instanceof Error) throw new CupolaError('bad_host_key', 'the SSH host key is no key', { cause: parsed });
  return createHash('sha256').update(parsed.getPublicSSH()).digest('base64').replace(/=+$/, '');
}
