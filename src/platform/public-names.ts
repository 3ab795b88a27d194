import type { PlatformSettings } from './settings/schema.ts';

/** The system hosts: lead to control, and no app can have them. */
export function systemHosts(domain: string): string[] {
  return ['api', 'uaa', 'login', 'log-cache', 'ssh', 'credhub', 'doppler'].map((name) => `${name}.${domain}`);
}

/** `https://api.<domain>`, with the port where it is not 443. */
export function publicUrl(settings: PlatformSettings, name: string): string {
  const port = settings.httpsPort === 443 ? '' : `:${settings.httpsPort}`;
  return `https://${name}.${settings.domain}${port}`;
}

/** `ssh.<domain>:2222`, as clients are told; null where there is no `cf ssh`. */
export function sshEndpoint(settings: PlatformSettings): string | null {
  return settings.sshPort === null ? null : `ssh.${settings.domain}:${settings.sshPort}`;
}
