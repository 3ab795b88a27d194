import { join } from 'node:path';
import { ensureAddress } from '../../cell/network/host.ts';
import { signal } from '../../kit/process.ts';
import { type Asker, renderDnsConfig, renderServers } from '../host/dns-config.ts';
import { upstreamNameservers } from '../host/names.ts';
import { otherSettings } from '../host/shared-addresses.ts';
import type { Component } from './component.ts';
import { makeReadable, writeReadable } from './files.ts';
import { digestOf, once } from './fingerprint.ts';
import { launch } from './launch.ts';
import type { Parts } from './parts.ts';

/** A name server of the platform: the one that the machine asks, or the one that containers do. */
export function dns({ layout, engines, accounts }: Parts, asker: Asker): Component {
  const name = asker === 'machine' ? 'dns' : 'dns-containers';
  const account = asker === 'machine' ? accounts.dns : accounts.containerDns;
  const { settings } = layout;
  const directory = `${layout.run}/${name}`;
  const serversFile = join(directory, 'servers.conf');
  const config = renderDnsConfig(settings, asker, serversFile);
  /** The servers that the process has, where this supervisor started it or sent it a signal since. */
  let lastServers: string | null = null;
  const writeServers = (): string => {
    const servers = renderServers(settings, asker, otherSettings(settings), upstreamNameservers(settings));
    if (servers !== lastServers) writeReadable(serversFile, servers, account);
    return servers;
  };
  return {
    name,
    account,
    stopSignal: 'SIGTERM',
    // Without the servers: they come and go, and are no reason to restart.
    fingerprint: once(() => digestOf(engines, config)),
    follow: async (running) => {
      const servers = writeServers();
      if (servers === lastServers) return;
      signal(running, 'SIGHUP');
      lastServers = servers;
    },
    start: async () => {
      if (asker === 'containers') await ensureAddress(settings.gateway);
      makeReadable(directory, account);
      const configFile = join(directory, 'dnsmasq.conf');
      writeReadable(configFile, config, account);
      lastServers = null;
      lastServers = writeServers();
      const args = ['--keep-in-foreground', `--conf-file=${configFile}`, '--log-facility=-', '--pid-file='];
      return launch({
        command: 'dnsmasq',
        isEngine: true,
        args,
        account,
        bindLowPorts: true,
        logFile: `${layout.logs}/${name}.log`,
      });
    },
  };
}
