import { join } from 'node:path';
import { ensureAddress } from '../../cell/network/host.ts';
import { signal } from '../../kit/process.ts';
import { type Asker, otherServers, renderDnsConfig, renderServers } from '../host/dns-config.ts';
import { upstreamNameservers } from '../host/names.ts';
import type { Component } from './component.ts';
import { makeReadable, writeReadable } from './files.ts';
import { digestOf, once } from './fingerprint.ts';
import { launch } from './launch.ts';
import type { Parts } from './parts.ts';

/** A name server of the platform: the one that the machine asks, or the one that containers do. */
export function dns({ layout, accounts }: Parts, asker: Asker): Component {
  const name = asker === 'machine' ? 'dns' : 'dns-containers';
  const account = asker === 'machine' ? accounts.dns : accounts.containerDns;
  const { settings } = layout;
  const directory = `${layout.run}/${name}`;
  const serversFile = join(directory, 'servers.conf');
  const config = renderDnsConfig(settings, asker, serversFile);
  /** What a process was told that this supervisor started, or told since. */
  let told: string | null = null;
  const writeServers = (): string => {
    const servers = renderServers(settings, otherServers(settings), upstreamNameservers(settings));
    if (servers !== told) writeReadable(serversFile, servers, account);
    return servers;
  };
  return {
    name,
    account,
    stopSignal: 'SIGTERM',
    // Without the servers: they come and go, and are no reason to restart.
    fingerprint: once(() => digestOf(config)),
    follow: async (running) => {
      const servers = writeServers();
      if (servers === told) return;
      signal(running, 'SIGHUP');
      told = servers;
    },
    start: async () => {
      if (asker === 'containers') await ensureAddress(settings.gateway);
      makeReadable(directory, account);
      const configFile = join(directory, 'dnsmasq.conf');
      writeReadable(configFile, config, account);
      told = null;
      told = writeServers();
      const args = ['--keep-in-foreground', `--conf-file=${configFile}`, '--log-facility=-', '--pid-file='];
      return launch({
        command: 'dnsmasq',
        args,
        account,
        bindLowPorts: true,
        logFile: `${layout.logs}/${name}.log`,
      });
    },
  };
}
