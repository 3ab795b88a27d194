import { statSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT } from '../../kit/project.js';
import { installationId, layoutOf } from '../layout.ts';
import { portsOf } from '../ports.ts';
import { askSupervisor } from '../supervisor-client.ts';
import type { Finding } from './finding.ts';
import { firewallFindings } from './firewall.ts';
import { installed } from './installed.ts';
import { kernelFindings } from './kernel.ts';
import { limitFindings } from './limits.ts';
import { clockFindings, diskFindings, nameFindings } from './machine.ts';
import { packageFindings } from './packages.ts';
import { platformFindings } from './platform.ts';
import { portFindings } from './ports.ts';

/** Looks at everything, changes nothing. Works before anything is installed, and as any user as far as that may look. */
export async function examine(dataDirectory: string): Promise<Finding[]> {
  const { settings, hidden, problems } = installed(dataDirectory);
  const status = settings ? await askSupervisor(layoutOf(settings), 'GET /status').catch(() => null) : null;
  const own = new Set([
    ...(status?.components.flatMap(({ pid }) => pid ?? []) ?? []),
    // It keeps the engines' listening sockets open as well.
    ...(status?.supervisor ? [status.supervisor.pid] : []),
  ]);
  // The project was written before now.
  const written = statSync(join(PROJECT, 'package-lock.json')).mtimeMs;
  return [
    ...kernelFindings(),
    ...limitFindings(),
    ...portFindings(portsOf(settings), own, hidden),
    ...(await firewallFindings(settings?.id ?? installationId(dataDirectory), `${settings?.overlay ?? '10.X'}.0.0/16`)),
    ...(await clockFindings(written)),
    ...diskFindings(dataDirectory),
    ...(await nameFindings(settings, { running: status !== null, hidden })),
    ...(await packageFindings()),
    ...(problems.length > 0 ? problems : platformFindings(settings, status)),
  ];
}
