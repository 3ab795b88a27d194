import { dirname } from 'node:path';
import { deriveKey } from '../../kit/crypto.ts';
import { makeDirectory } from '../../kit/owned-files.ts';
import { commandOf, processesWith, terminate } from '../../kit/process.ts';
import { fingerprintOf } from '../../ssh-proxy/fingerprint.ts';
import type { Account } from '../account.ts';
import { askAdmin, RENEW_LIMIT_MS } from '../admin-socket.ts';
import type { ControlBootstrap, RoleBootstrap } from '../bootstrap.ts';
import type { Layout } from '../layout.ts';
import { nodeOf, programsOf } from '../program.ts';
import type { RoleProcess } from '../roles/cut.ts';
import type { Role } from '../roles/names.ts';
import type { Secrets } from '../secrets.ts';
import { readStagingEnvironment } from '../staging-environment.ts';
import { linkBuildpacks, shownBuildpacks } from '../system-buildpacks.ts';
import type { Component } from './component.ts';
import { maxConnections, numbersOf } from './descriptors.ts';
import { digestOf, once } from './fingerprint.ts';
import { launch } from './launch.ts';
import { sshSocket } from './listeners.ts';
import { HEAP, HEAP_OF_LOGS, MALLOC } from './memory.ts';
import type { Parts } from './parts.ts';

/** A process that has roles of control: the public APIs, and what decides. */
export function control(
  { layout, program, accounts, certificates, secrets, listeners, enginesRun, onFault }: Parts,
  own: RoleProcess,
): Component {
  const { name } = own;
  return {
    name,
    account: accounts.control,
    stopSignal: 'SIGTERM',
    fingerprint: once(() =>
      digestOf(program, JSON.stringify([layout.settings, shownBuildpacks(layout), readStagingEnvironment(layout)])),
    ),
    renew: async (running) => {
      const identity = await certificates.component(name);
      await askAdmin(layout.adminSocketOf(name), 'POST /identity', { body: identity, timeoutMs: RENEW_LIMIT_MS });
      return running;
    },
    start: async () => {
      const state = `${layout.run}/control`;
      makeDirectory(dirname(layout.adminSocketOf(name)), { mode: 0o700, owner: accounts.control });
      if (own.roles.includes('api')) linkBuildpacks(layout);
      await endOthers(layout, accounts.control, own);
      const ssh = own.roles.includes('ssh') ? sshSocket(layout, accounts) : null;
      const inherit = ssh ? listeners.descriptors([ssh]) : [];
      const bootstrap: ControlBootstrap = {
        settings: layout.settings,
        name,
        identity: await certificates.component(name),
        roles: rolesOf(layout, own, secrets(), numbersOf(inherit)[0] ?? null),
      };
      return launch({
        command: nodeOf(layout.program),
        args: [
          ...(name === 'logs' ? HEAP_OF_LOGS : HEAP),
          `${layout.program}/src/platform/control.js`,
          name,
          own.roles.join(),
        ],
        account: accounts.control,
        input: JSON.stringify(bootstrap),
        toldAfter: enginesRun,
        inherit,
        logFile: `${layout.logs}/${name}.log`,
        onFault: () => onFault(name),
        environment: { TMPDIR: `${state}/tmp`, ...MALLOC },
      });
    },
  };
}

/**
 * What each role of the process is told; of secrets what it needs. `ssh`: where the router's account alone reaches it, by a socket that outlives
 * the process.
 */
function rolesOf(
  layout: Layout,
  { roles }: RoleProcess,
  secrets: Secrets,
  ssh: number | null,
): ControlBootstrap['roles'] {
  const { blobSigningKey, adminPassword, clientSecrets, sshHostKey, databaseKey } = secrets;
  const sealingKey = (room: string): string => deriveKey(Buffer.from(databaseKey, 'base64'), room).toString('base64');
  const tell: { [Name in Role]: () => RoleBootstrap[Name] } = {
    api: () => ({
      sealingKey: sealingKey('cc'),
      blobSigningKey,
      buildpacks: shownBuildpacks(layout),
      stagingEnvironment: readStagingEnvironment(layout),
      sshHostKeyFingerprint: layout.settings.sshPort === null ? null : fingerprintOf(sshHostKey),
    }),
    uaa: () => ({ sealingKey: sealingKey('uaa'), adminPassword, clientSecrets }),
    brain: () => ({ sealingKey: sealingKey('bbs') }),
    logs: () => ({}),
    routing: () => ({ maxConnections: maxConnections() }),
    ssh: () => ({
      hostKey: sshHostKey,
      clientSecret: clientSecrets.sshProxy,
      descriptor: ssh,
    }),
  };
  return Object.fromEntries(roles.map((role) => [role, tell[role]()]));
}

/**
 * Ends what runs of it that nobody wrote down: a supervisor was killed, or one of a version before, which does not know of it, was in
 * charge meanwhile. It has the addresses; and the port for SSH clients has the process that had `ssh` to itself.
 */
async function endOthers({ run }: Layout, { uid }: Account, { name, roles }: RoleProcess): Promise<void> {
  const program = new RegExp(`^${programsOf(run)}/.*/platform/control\\.js$`);
  const running = [name, ...roles.filter((role) => role === 'ssh')]
    .flatMap((one) => processesWith(uid, one))
    .filter(({ pid }) => commandOf(pid).some((word) => program.test(word)));
  await Promise.all(running.map((identity) => terminate(identity, 0, 'SIGKILL')));
}
