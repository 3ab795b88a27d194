import { join } from 'node:path';
import { ensureAddress } from '../../cell/network/host.ts';
import { type Asker, renderDnsConfig, upstreamNameservers } from '../host/names.ts';
import type { Component } from './component.ts';
import { makeReadable, writeReadable } from './files.ts';
import { digestOf, once } from './fingerprint.ts';
import { launch } from './launch.ts';
import type { Parts } from './parts.ts';

/** A name server of the platform: the one that the machine asks, or the one that containers do. */
export function dns({ layout, accounts }: Parts, asker: Asker): Component {
  const name = asker === 'machine' ? 'dns' : 'dns-containers';
  const account = asker === 'machine' ? accounts.dns : accounts.containerDns;
  const render = (upstreams: readonly string[]): string => renderDnsConfig(layout.settings, asker, upstreams);
  return {
    name,
    account,
    stopSignal: 'SIGTERM',
    // Without the machine's own name servers: they come and go, and are no reason to restart.
    fingerprint: once(() => digestOf(render([]))),
    start: async () => {
      if (asker === 'containers') await ensureAddress(layout.settings.gateway);
      const directory = makeReadable(`${layout.run}/${name}`, account);
      const config = join(directory, 'dnsmasq.conf');
      writeReadable(config, render(upstreamNameservers(layout.settings)), account);
      const args = ['--keep-in-foreground', `--conf-file=${config}`, '--log-facility=-', '--pid-file='];
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
