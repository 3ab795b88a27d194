import { type CellProxySettings, prepareCellProxy, renderCellProxyConfig } from '../../cell/proxy/index.ts';
import { makeDirectory } from '../../kit/owned-files.ts';
import { type ProcessIdentity, signal } from '../../kit/process.ts';
import type { SocketAddress } from '../../kit/sockets.ts';
import { askAdmin } from '../admin-socket.ts';
import { cellName, cellProxySettingsOf } from '../cell-settings.ts';
import {
  findHaproxies,
  haproxyInstance,
  haproxyProcesses,
  takeOverArguments,
  trusts,
  untilTakenOver,
} from '../engines/haproxy.ts';
import { FIRST_INHERITED } from '../listeners.ts';
import type { Component } from './component.ts';
import { maxConnections } from './descriptors.ts';
import { makeReadable, writeReadable } from './files.ts';
import { digestOf, once } from './fingerprint.ts';
import { launch } from './launch.ts';
import type { Parts } from './parts.ts';

/** The HAProxy before the containers of one cell. */
export function cellProxy(
  { layout, engines, accounts, certificates, listeners, onExit }: Parts,
  index: number,
): Component {
  const account = accounts.proxies[index]!;
  const name = `${cellName(index)}-proxy`;
  const settings = cellProxySettingsOf(layout, index, account, maxConnections());
  const logFile = `${layout.logs}/${name}.log`;
  const instance = haproxyInstance(account.uid, settings.runDirectory, settings.socket);
  const start = async () => {
    const base = makeDirectory(`${layout.run}/${name}`, { mode: 0o711 });
    makeReadable(settings.runDirectory, account);
    makeDirectory(`${base}/socket`, { mode: 0o700, owner: account });
    writeReadable(settings.routerCa, certificates.roots('platform'), account);
    const inherit = listeners.descriptors([cellProxyListener(settings)]);
    const { configFile } = await prepareCellProxy(settings, FIRST_INHERITED);
    const args = ['-q', '-db', '-f', configFile, ...takeOverArguments(haproxyProcesses(instance))];
    return launch({ command: 'haproxy', isEngine: true, args, account, inherit, logFile, onExit });
  };
  const takeOver = async (): Promise<ProcessIdentity> => {
    const next = await untilTakenOver(await start(), settings.socket, logFile);
    // What the cell registered between the files being read and the socket being ours is not lost, only late.
    await askAdmin(layout.adminSocketOf(cellName(index)), 'POST /reconcile-proxy', { timeoutMs: 10_000 }).catch(
      () => {},
    );
    return next;
  };
  return {
    name,
    account,
    stopSignal: 'SIGTERM',
    fingerprint: once(() => digestOf(engines, renderCellProxyConfig(settings))),
    start,
    find: (settled) => findHaproxies(instance, settled),
    processes: () => haproxyProcesses(instance),
    makeWay: () => {
      for (const one of haproxyProcesses(instance)) signal(one, 'SIGUSR1');
    },
    takeOver,
    renew: async (running) => {
      const roots = new Map([[settings.routerCa, certificates.roots('platform')]]);
      return (await trusts(settings.socket, roots)) ? running : takeOver();
    },
  };
}

/** Where the router reaches the instances of a cell. */
export function cellProxyListener({ bindAddress, port }: CellProxySettings): SocketAddress {
  return { address: bindAddress, port };
}
