import { mkdirSync } from 'node:fs';
import type { CellRenewal } from '../admin-messages.ts';
import { askAdmin, RENEW_LIMIT_MS } from '../admin-socket.ts';
import type { CellBootstrap } from '../bootstrap.ts';
import { cellName } from '../cell-settings.ts';
import { nodeOf } from '../program.ts';
import { shownBuildpacks } from '../system-buildpacks.ts';
import type { Component } from './component.ts';
import { maxConnections } from './descriptors.ts';
import { digestOf, once } from './fingerprint.ts';
import { launch } from './launch.ts';
import { HEAP, MALLOC } from './memory.ts';
import type { Parts } from './parts.ts';

/** The process that has the containers of one cell. */
export function cell(
  { layout, program, engines, engineRoot, accounts, certificates, secrets, enginesRun, onFault }: Parts,
  index: number,
): Component {
  const name = cellName(index);
  const authority = (): CellBootstrap['instanceIdentity'] => ({
    intermediate: secrets().identityIntermediate,
    rootCertificate: certificates.roots('identity'),
  });
  return {
    name,
    account: null,
    stopSignal: 'SIGTERM',
    fingerprint: once(() => digestOf(program, engines, JSON.stringify([layout.settings, shownBuildpacks(layout)]))),
    renew: async (running) => {
      const update: CellRenewal = {
        identity: await certificates.component('cell', [name, 'cell']),
        instanceIdentity: authority(),
        routerRoot: certificates.roots('router'),
      };
      await askAdmin(layout.adminSocketOf(name), 'POST /identity', { body: update, timeoutMs: RENEW_LIMIT_MS });
      return running;
    },
    start: async () => {
      for (const directory of ['garden', 'rep']) {
        mkdirSync(`${layout.settings.dataDirectory}/cells/${name}/${directory}`, { recursive: true, mode: 0o700 });
      }
      const bootstrap: CellBootstrap = {
        settings: layout.settings,
        index,
        identity: await certificates.component('cell', [name, 'cell']),
        maxConnections: maxConnections(),
        proxyAccount: { uid: accounts.proxies[index]!.uid, gid: accounts.proxies[index]!.gid },
        routerRoot: certificates.roots('router'),
        instanceIdentity: authority(),
        engineRoot,
        buildpacks: layout.settings.unpackAhead === false ? [] : shownBuildpacks(layout),
      };
      return launch({
        command: nodeOf(layout.program),
        args: [...HEAP, `${layout.program}/src/platform/cell.js`],
        account: null,
        input: JSON.stringify(bootstrap),
        toldAfter: enginesRun,
        logFile: `${layout.logs}/${name}.log`,
        onFault: () => onFault(name),
        environment: MALLOC,
      });
    },
  };
}
