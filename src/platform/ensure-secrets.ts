import { randomBytes } from 'node:crypto';
import { existsSync, writeFileSync } from 'node:fs';
import { randomSecret } from '../kit/crypto.ts';
import { generateHostKey } from '../ssh-proxy/ssh-proxy.ts';
import { layoutOf } from './layout.ts';
import { makeAuthorities } from './make-authorities.ts';
import { openSecrets, type Secrets, saveSecrets } from './secrets.ts';
import type { PlatformSettings } from './settings/schema.ts';

/**
 * Opens the installation's secrets, or makes key file and secrets at the first start. Throws
 * `key_file_missing`, `decryption_failed`, `invalid_file`.
 */
export async function ensureSecrets(settings: PlatformSettings): Promise<Secrets> {
  if (existsSync(layoutOf(settings).secretsFile)) {
    const present = openSecrets(settings);
    const { sshHostKey = generateHostKey() } = present;
    const secrets = { ...present, sshHostKey };
    if (present.sshHostKey === undefined) saveSecrets(settings, secrets);
    return secrets;
  }
  if (!existsSync(settings.keyFile)) {
    writeFileSync(settings.keyFile, `${randomBytes(32).toString('base64')}\n`, { mode: 0o400, flag: 'wx' });
  }
  const secrets: Secrets = {
    ...(await makeAuthorities(1)),
    rotation: null,
    databaseKey: randomBytes(32).toString('base64'),
    blobSigningKey: randomBytes(32).toString('base64'),
    adminPassword: randomSecret(),
    sshHostKey: generateHostKey(),
    clientSecrets: { admin: randomSecret(), cloudController: randomSecret(), sshProxy: randomSecret() },
  };
  saveSecrets(settings, secrets);
  return secrets;
}
