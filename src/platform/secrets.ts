import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { randomSecret, Sealer } from '../kit/crypto.ts';
import { CupolaError } from '../kit/errors.ts';
import { generateHostKey } from '../ssh-proxy/ssh-proxy.ts';
import { type Authorities, makeAuthorities, type RootRotation, trustedRoots } from './authorities.ts';
import { layoutOf, type PlatformSettings, publicUrl } from './settings.ts';

/** Everything an installation must keep to itself; made at the first start, sealed under the key file. */
export interface Secrets extends Authorities {
  /** What is under way while roots are replaced. */
  rotation: RootRotation | null;
  /** 32 bytes each, base64. */
  databaseKey: string;
  blobSigningKey: string;
  adminPassword: string;
  /** Clients know it by its fingerprint. */
  sshHostKey: string;
  clientSecrets: { admin: string; cloudController: string; sshProxy: string };
}

const CONTEXT = 'platform-secrets';

/** Opens the installation's secrets, or makes key file and secrets at the first start. Throws `key_file_missing`, `decryption_failed`. */
export async function ensureSecrets(settings: PlatformSettings): Promise<Secrets> {
  if (existsSync(layoutOf(settings).secretsFile)) {
    const present: Omit<Secrets, 'sshHostKey'> & Partial<Secrets> = openSecrets(settings);
    if (present.sshHostKey !== undefined) return { ...present, sshHostKey: present.sshHostKey };
    // An installation from before there was `cf ssh`.
    const completed = { ...present, sshHostKey: generateHostKey() };
    saveSecrets(settings, completed);
    return completed;
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

/** Whole or not at all, and on the disk when it returns. */
export function saveSecrets(settings: PlatformSettings, secrets: Secrets): void {
  const file = layoutOf(settings).secretsFile;
  const sealed = sealer(settings).seal(JSON.stringify(secrets), CONTEXT);
  const text = JSON.stringify({ keyLabel: sealed.keyLabel, data: sealed.data.toString('base64') });
  writeFileSync(`${file}.new`, text, { mode: 0o600, flush: true });
  renameSync(`${file}.new`, file);
}

function openSecrets(settings: PlatformSettings): Secrets {
  const sealed = JSON.parse(readFileSync(layoutOf(settings).secretsFile, 'utf8')) as { keyLabel: string; data: string };
  const text = sealer(settings).open({ keyLabel: sealed.keyLabel, data: Buffer.from(sealed.data, 'base64') }, CONTEXT);
  return { rotation: null, ...(JSON.parse(text) as Omit<Secrets, 'rotation'>) };
}

function sealer(settings: PlatformSettings): Sealer {
  if (!existsSync(settings.keyFile))
    throw new CupolaError('key_file_missing', `there is no key file at ${settings.keyFile}`);
  return new Sealer([{ label: 'file', key: Buffer.from(readFileSync(settings.keyFile, 'utf8').trim(), 'base64') }]);
}

/** What a person needs to log in as the administrator. */
export interface Credentials {
  api: string;
  username: string;
  password: string;
  domain: string;
  /** PEM of the root the public certificate lies under; both, while one takes the place of another. */
  ca_cert: string;
}

export async function readCredentials(settings: PlatformSettings): Promise<Credentials> {
  const secrets = openSecrets(settings);
  return {
    api: publicUrl(settings, 'api'),
    username: settings.adminUser,
    password: secrets.adminPassword,
    domain: settings.domain,
    ca_cert: trustedRoots(secrets, 'router'),
  };
}
