import { dirname } from 'node:path';
import { makeDirectory } from '../../kit/owned-files.ts';
import { askAdmin, RENEW_LIMIT_MS } from '../admin-socket.ts';
import type { ControlBootstrap } from '../bootstrap.ts';
import { FIRST_INHERITED } from '../listeners.ts';
import { nodeOf } from '../program.ts';
import { readStagingEnvironment } from '../staging-environment.ts';
import { linkBuildpacks, shownBuildpacks } from '../system-buildpacks.ts';
import type { Component } from './component.ts';
import { maxConnections } from './descriptors.ts';
import { digestOf, once } from './fingerprint.ts';
import { launch } from './launch.ts';
import { controlSockets } from './listeners.ts';
import type { Parts } from './parts.ts';

/** The process that has every public API and decides. */
export function control({ layout, program, accounts, certificates, secrets, listeners, onFault }: Parts): Component {
  return {
    name: 'control',
    account: accounts.control,
    stopSignal: 'SIGTERM',
    fingerprint: once(() =>
      digestOf(program, JSON.stringify([layout.settings, shownBuildpacks(layout), readStagingEnvironment(layout)])),
    ),
    renew: async (running) => {
      const identity = await certificates.component('control');
      await askAdmin(layout.adminSocketOf('control'), 'POST /identity', { body: identity, timeoutMs: RENEW_LIMIT_MS });
      return running;
    },
    start: async () => {
      const state = `${layout.run}/control`;
      makeDirectory(dirname(layout.adminSocketOf('control')), { mode: 0o700, owner: accounts.control });
      linkBuildpacks(layout);
      const { databaseKey, blobSigningKey, adminPassword, clientSecrets, sshHostKey } = secrets();
      const inherit = listeners.descriptors(controlSockets(layout, accounts));
      const bootstrap: ControlBootstrap = {
        settings: layout.settings,
        identity: await certificates.component('control'),
        maxConnections: maxConnections(),
        accessLogDescriptor: FIRST_INHERITED,
        sshDescriptor: inherit.length > 1 ? FIRST_INHERITED + 1 : null,
        buildpacks: shownBuildpacks(layout),
        stagingEnvironment: readStagingEnvironment(layout),
        secrets: { databaseKey, blobSigningKey, adminPassword, clientSecrets, sshHostKey },
      };
      return launch({
        command: nodeOf(layout.program),
        args: [`${layout.program}/src/platform/control.js`],
        account: accounts.control,
        input: JSON.stringify(bootstrap),
        inherit,
        logFile: `${layout.logs}/control.log`,
        onFault: () => onFault('control'),
        environment: { TMPDIR: `${state}/tmp` },
      });
    },
  };
}
