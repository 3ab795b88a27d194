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
  return [
    '',
    seconds === null ? 'It runs already.' : `Ready after ${seconds} s.`,
    '',
    ...(demo ? [`  Demo      ${demo}`, ''] : []),
    'Have this machine trust its certificate, push an app, and log in:',
    `  ${commandFor('trust', settings)}`,
    `  ${commandFor('push', settings)} examples/hello-node`,
    `  cf login -a ${api} -u ${settings.adminUser}`,
    `The password: ${commandFor('credentials', settings)}`,
  ].join('\n');
}
