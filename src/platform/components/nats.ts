import { reloadNats, renderNatsConfig } from '../engines/nats.ts';
import { busPeers } from '../roles/cut.ts';
import type { Component } from './component.ts';
import { makeReadable, writeReadable } from './files.ts';
import { digestOf, once } from './fingerprint.ts';
import { launch } from './launch.ts';
import type { Parts } from './parts.ts';

/** The bus, on which control tells the router of changes. */
export function nats({ layout, engines, accounts, certificates }: Parts): Component {
  const { nats: port } = layout.settings.ports;
  const directory = `${layout.run}/nats`;
  const peers = busPeers(layout.settings);
  const writeIdentity = async (): Promise<string> => {
    makeReadable(directory, accounts.nats);
    const identity = await certificates.component('nats', ['nats', 'localhost']);
    writeReadable(`${directory}/cert.pem`, identity.cert, accounts.nats);
    writeReadable(`${directory}/key.pem`, identity.key, accounts.nats);
    writeReadable(`${directory}/ca.pem`, identity.ca, accounts.nats);
    return identity.cert;
  };
  return {
    name: 'nats',
    account: accounts.nats,
    stopSignal: 'SIGTERM',
    fingerprint: once(() => digestOf(engines, renderNatsConfig(port, directory, peers))),
    renew: async (running) => {
      await reloadNats(running, port, await writeIdentity());
      return running;
    },
    start: async () => {
      await writeIdentity();
      writeReadable(`${directory}/nats.conf`, renderNatsConfig(port, directory, peers), accounts.nats);
      return launch({
        command: 'nats-server',
        isEngine: true,
        args: ['-c', `${directory}/nats.conf`],
        account: accounts.nats,
        logFile: `${layout.logs}/nats.log`,
      });
    },
  };
}
