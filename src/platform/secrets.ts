import { existsSync, readFileSync } from 'node:fs';
import Type, { type Static } from 'typebox';
import { checkedJson, readCheckedFile } from '../kit/checked.ts';
import { Sealer } from '../kit/crypto.ts';
import { CupolaError } from '../kit/errors.ts';
import { replaceFile } from '../kit/owned-files.ts';
import { trustedRoots, WithRotation } from './authorities.ts';
import { layoutOf } from './layout.ts';
import { publicUrl } from './public-names.ts';
import { commandFor } from './settings/data-option.ts';
import type { PlatformSettings } from './settings/schema.ts';

const { rotation, ...authorities } = WithRotation.properties;

/** Everything an installation must keep to itself; made at the first start, sealed under the key file. */
export const Secrets = Type.Object({
  ...authorities,
  /** What is under way while roots are replaced. */
  rotation,
  /** 32 bytes each, base64. */
  databaseKey: Type.String(),
  blobSigningKey: Type.String(),
  adminPassword: Type.String(),
  /** Clients know it by its fingerprint. */
  sshHostKey: Type.String(),
  clientSecrets: Type.Object({ admin: Type.String(), cloudController: Type.String(), sshProxy: Type.String() }),
});
export type Secrets = Static<typeof Secrets>;

/** Of an installation from before there was `cf ssh`, or from before roots were replaced. */
const EarlierSecrets = Type.Object({
  ...Type.Omit(Secrets, ['rotation', 'sshHostKey']).properties,
  rotation: Type.Optional(rotation),
  sshHostKey: Type.Optional(Type.String()),
});

/** The file: what of it can be read without the key. */
const SealedSecrets = Type.Object({ keyLabel: Type.String(), data: Type.String() });

const CONTEXT = 'platform-secrets';

/** Whole or not at all, and on the disk when it returns. */
export function saveSecrets(settings: PlatformSettings, secrets: Secrets): void {
  const file = layoutOf(settings).secretsFile;
  const sealed = sealer(settings).seal(JSON.stringify(secrets), CONTEXT);
  const text = JSON.stringify({ keyLabel: sealed.keyLabel, data: sealed.data.toString('base64') });
  replaceFile(file, text, { mode: 0o600, flush: true });
}

/** Throws `invalid_file` with the field that is not as declared, and never a value. */
export function openSecrets(settings: PlatformSettings): Omit<Secrets, 'sshHostKey'> & Partial<Secrets> {
  const file = layoutOf(settings).secretsFile;
  if (!existsSync(file)) {
    const advice = `${commandFor('up', settings)} does it`;
    throw new CupolaError('not_installed', `the platform was never started; ${advice}`);
  }
  const { keyLabel, data } = readCheckedFile(file, SealedSecrets);
  const text = sealer(settings).open({ keyLabel, data: Buffer.from(data, 'base64') }, CONTEXT);
  return { rotation: null, ...checkedJson(EarlierSecrets, text, { code: 'invalid_file', what: `what ${file} seals` }) };
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
