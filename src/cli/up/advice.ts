import { publicUrl } from '../../platform/public-names.ts';
import { commandFor } from '../../platform/settings/data-option.ts';
import type { PlatformSettings } from '../../platform/settings/schema.ts';

/** The same for programs. */
export function summary(settings: PlatformSettings, seconds: number | null, demo: string | null) {
  const { domain, adminUser: username } = settings;
  return {
    api: publicUrl(settings, 'api'),
    username,
    domain,
    ready: true,
    seconds: seconds ?? 0,
    ...(demo ? { demo } : {}),
  };
}

/** Where it ran already: what was done all the same. */
export function restoredResolver({ resolverAddress }: PlatformSettings): string {
  return `${resolverAddress} was missing in /etc/resolv.conf and is back.`;
}

/** What a person does next, with the platform's certificate checked. `seconds`: null where it ran already. */
export function howToGoOn(settings: PlatformSettings, seconds: number | null, demo: string | null): string {
  const api = publicUrl(settings, 'api');
  const [credentials, trust] = [commandFor('credentials', settings), commandFor('trust', settings)];
  return [
    '',
    seconds === null ? 'It runs already.' : `Ready after ${seconds} s.`,
    '',
    `  API       ${api}`,
    `  User      ${settings.adminUser}`,
    `  Password  ${credentials}`,
    ...(demo ? [`  Demo      ${demo}`] : []),
    '',
    'Log in with the cf CLI, which checks the certificate:',
    `  ${credentials} --json | node -p 'JSON.parse(fs.readFileSync(0)).ca_cert' > cupola-ca.pem`,
    '  export SSL_CERT_FILE=$PWD/cupola-ca.pem',
    `  cf login -a ${api} -u ${settings.adminUser}`,
    `${trust} makes the whole machine trust it, browsers aside.`,
  ].join('\n');
}
