import { makeDirectory } from '../../kit/owned-files.ts';
import { routerListeners } from '../../router/index.ts';
import { cellProxySettingsOf, routerSettingsOf } from '../cell-settings.ts';
import type { Accounts } from '../host/accounts.ts';
import type { Layout } from '../layout.ts';
import type { Listening, UnixSocket } from '../listeners.ts';
import { cellProxyListener } from './cell-proxy.ts';
import type { Component } from './component.ts';
import { maxConnections } from './descriptors.ts';
import { launch } from './launch.ts';
import type { Parts } from './parts.ts';

/** The component that holds the listening sockets. */
export const LISTENER_HOLDER = 'listeners';

/** Every listening socket that outlives whoever accepts on it. */
export function listeningSockets(layout: Layout, accounts: Accounts): Listening[] {
  const ssh = sshSocket(layout, accounts);
  const cells = Array.from({ length: layout.settings.cells }, (_, index) => index);
  return [
    ...routerListeners(routerSettingsOf(layout, maxConnections())),
    ...cells.map((index) =>
      cellProxyListener(cellProxySettingsOf(layout, index, accounts.proxies[index]!, maxConnections())),
    ),
    // A Unix socket, on which the router's account alone comes.
    ...(ssh ? [ssh] : []),
  ];
}

/** For SSH clients that come to the router, whose address is believed; null where there is no `cf ssh`. */
export function sshSocket(layout: Layout, accounts: Accounts): UnixSocket | null {
  const { ssh } = routerSettingsOf(layout, maxConnections());
  return ssh ? { path: ssh.socket, uid: accounts.control.uid, gid: accounts.router.gid } : null;
}

/** Keeps the sockets open, and does nothing else, while both an engine and the supervisor are gone. */
export function listenerHolder({ layout, accounts, listeners, onExit }: Parts): Component {
  return {
    name: LISTENER_HOLDER,
    account: accounts.listeners,
    stopSignal: 'SIGTERM',
    // Another set of sockets is another holder anyway.
    fingerprint: () => 'sleep',
    start: async () => {
      prepareSocketDirectories(layout, accounts);
      return launch({
        command: 'sleep',
        isEngine: true,
        args: ['infinity'],
        account: accounts.listeners,
        inherit: listeners.forHolder(),
        logFile: `${layout.logs}/listeners.log`,
        onExit,
      });
    },
  };
}

function prepareSocketDirectories(layout: Layout, accounts: Accounts): void {
  makeDirectory(`${layout.run}/router`, { mode: 0o711 });
  makeDirectory(`${layout.run}/router/ssh`, { mode: 0o710, owner: { uid: 0, gid: accounts.router.gid } });
}
