import { statSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT } from '../program.ts';
import { layoutOf, loadSettings } from '../settings.ts';
import { askSupervisor, type PlatformStatus } from '../supervisor-client.ts';
import type { Finding } from './finding.ts';
import { kernelFindings } from './kernel.ts';
import { limitFindings } from './limits.ts';
import { clockFindings, diskFindings, nameFindings } from './machine.ts';
import { packageFindings } from './packages.ts';
import { platformFindings } from './platform.ts';
import { portFindings, portsOf } from './ports.ts';

/** Looks at everything, changes nothing. Works before anything is installed, and as any user as far as that may look. */
export async function examine(dataDirectory: string): Promise<Finding[]> {
  const settings = readable(() => loadSettings(dataDirectory));
  const status = settings
    ? await askSupervisor<PlatformStatus>(layoutOf(settings), 'GET /status').catch(() => null)
    : null;
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
    ...portFindings(portsOf(settings), own),
    ...(await clockFindings(written)),
    ...diskFindings(dataDirectory),
    ...(await nameFindings(settings, status !== null)),
    ...(await packageFindings()),
    ...platformFindings(settings, status),
  ];
}

function readable<T>(read: () => T | null): T | null {
  try {
    return read();
  } catch {
    return null; // root's, and we are not
  }
}
