import { statSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT } from '../../kit/project.js';
import { installationId } from '../layout.ts';
import { portsOf } from '../ports.ts';
import { engineFindings } from './engines.ts';
import type { Finding } from './finding.ts';
import { firewallFindings } from './firewall.ts';
import { hostFindings } from './host.ts';
import { installed } from './installed.ts';
import { kernelFindings } from './kernel.ts';
import { limitFindings } from './limits.ts';
import { clockFindings, diskFindings, nameFindings } from './machine.ts';
import { packageFindings } from './packages.ts';
import { platformFindings } from './platform.ts';
import { portFindings } from './ports.ts';
import { runningPlatform } from './running.ts';

/** Looks at everything, changes nothing. Works before anything is installed, and as any user as far as that may look. */
export async function examine(dataDirectory: string): Promise<Finding[]> {
  const { settings, hidden, problems } = installed(dataDirectory);
  const { status, running, own, silence } = await runningPlatform(settings);
  // The project was written before now.
  const written = statSync(join(PROJECT, 'package-lock.json')).mtimeMs;
  return [
    ...hostFindings(),
    ...kernelFindings(),
    ...limitFindings(),
    ...portFindings(portsOf(settings), own, hidden),
    ...(await firewallFindings(settings?.id ?? installationId(dataDirectory), `${settings?.overlay ?? '10.X'}.0.0/16`)),
    ...(await clockFindings(written)),
    ...diskFindings(dataDirectory),
    ...(await nameFindings(settings, { running, hidden })),
    ...(await packageFindings()),
    ...(problems.length > 0 ? [] : await engineFindings(settings)),
    ...(problems.length > 0 ? problems : platformFindings(settings, status, { silence })),
  ];
}
