import { HaproxySocket } from '../../kit/haproxy.ts';
import { makeDirectory } from '../../kit/owned-files.ts';
import type { ProcessIdentity } from '../../kit/process.ts';
import { prepareRouter, renderRouterConfig, routerListeners } from '../../router/index.ts';
import { cellName, routerSettingsOf } from '../cell-settings.ts';
import {
  findHaproxies,
  haproxyInstance,
  haproxyProcesses,
  takeOverArguments,
  trusts,
  untilTakenOver,
} from '../engines/haproxy.ts';
import type { Component } from './component.ts';
import { maxConnections, numbersOf } from './descriptors.ts';
import { makeReadable, writeReadable } from './files.ts';
import { digestOf, once } from './fingerprint.ts';
import { launch } from './launch.ts';
import type { Parts } from './parts.ts';

/** The HAProxy that clients come to. */
export function router({ layout, engines, accounts, certificates, listeners, onExit, log }: Parts): Component {
  const settings = routerSettingsOf(layout, maxConnections());
  const { front, client, instanceCa, platformCa } = settings.certificates;
  const instance = haproxyInstance(accounts.router.uid, settings.runDirectory, settings.sockets.admin);
  const logFile = `${layout.logs}/router.log`;
  const writeRoots = (): void => {
    writeReadable(instanceCa, certificates.roots('identity'), accounts.router);
    writeReadable(platformCa, certificates.roots('platform'), accounts.router);
  };
  const writePairs = async (): Promise<(readonly [string, string])[]> => {
    const shown = await certificates.front(layout.settings.domain);
    const own = await certificates.component('router');
    const pairs = [
      [front, `${shown.cert}${shown.key}`],
      [client, `${own.cert}${own.key}`],
    ] as const;
    for (const [path, pem] of pairs) writeReadable(path, pem, accounts.router);
    return [...pairs];
  };
  const start = async () => {
    const base = makeDirectory(`${layout.run}/router`, { mode: 0o711 });
    makeReadable(settings.runDirectory, accounts.router);
    makeReadable(`${base}/certificates`, accounts.router);
    const sockets = { uid: accounts.router.uid, gid: accounts.control.gid };
    makeDirectory(`${base}/sockets`, { mode: 0o2710, owner: sockets });
    writeRoots();
    await writePairs();
    const inherit = listeners.descriptors(routerListeners(settings));
    const { configFile, problem } = await prepareRouter(settings, numbersOf(inherit));
    if (problem) log.warn('the router starts without routes until control brings them', { problem });
    // Quiet: it names each of thousands of backends when it ends.
    const args = ['-q', '-db', '-f', configFile, ...takeOverArguments(haproxyProcesses(instance))];
    return launch({ command: 'haproxy', isEngine: true, args, account: accounts.router, inherit, logFile, onExit });
  };
  const takeOver = async (): Promise<ProcessIdentity> => untilTakenOver(await start(), settings.sockets.admin, logFile);
  return {
    name: 'router',
    account: accounts.router,
    stopSignal: 'SIGTERM',
    fingerprint: once(() => digestOf(engines, renderRouterConfig(settings))),
    start,
    find: (settled) => findHaproxies(instance, settled),
    processes: () => haproxyProcesses(instance),
    after: Array.from({ length: layout.settings.cells }, (_, index) => `${cellName(index)}-proxy`),
    takeOver,
    renew: async (running) => {
      // HAProxy 2.6 dies of certificates that change after roots did (haproxy issue 3165): roots come with a new process.
      const roots = new Map([
        [instanceCa, certificates.roots('identity')],
        [platformCa, certificates.roots('platform')],
      ]);
      if (!(await trusts(settings.sockets.admin, roots))) return takeOver();
      const socket = new HaproxySocket(settings.sockets.admin, { timeoutMs: 60_000 });
      for (const [path, pem] of await writePairs()) await socket.replaceCertificate(path, pem);
      return running;
    },
  };
}
