import { codeOf, messageOf } from '../../kit/errors.ts';
import type { PlatformStatus } from '../admin-messages.ts';
import { type Layout, layoutOf } from '../layout.ts';
import { readProcesses } from '../processes.ts';
import type { PlatformSettings } from '../settings/schema.ts';
import { askSupervisor, isSilence, supervisorProcess } from '../supervisor-client.ts';
import { type Finding, findingsOf } from './finding.ts';

const { fail } = findingsOf('platform');

interface RunningPlatform {
  /** What the supervisor says; null where it does not run, or says nothing. */
  status: PlatformStatus | null;
  running: boolean;
  /** The numbers of its processes. */
  own: ReadonlySet<number>;
  /** That a supervisor is there which says nothing of itself. */
  silence: Finding | null;
}

/** What runs of an installation. */
export async function runningPlatform(settings: PlatformSettings | null): Promise<RunningPlatform> {
  if (!settings) return { status: null, running: false, own: new Set(), silence: null };
  const layout = layoutOf(settings);
  try {
    const status = await askSupervisor(layout, 'GET /status');
    // It keeps the engines' listening sockets open as well.
    const own = new Set([...status.components.flatMap(({ pid }) => pid ?? []), status.supervisor.pid]);
    return { status, running: true, own, silence: null };
  } catch (error) {
    const own = notedProcesses(layout);
    if (codeOf(error) === 'not_running') return { status: null, running: false, own, silence: null };
    const advice = isSilence(error)
      ? 'kill -CONT wakes a process that was stopped; else do as said'
      : './cupola status says the same; docs/errors.md says what to do';
    return { status: null, running: true, own, silence: fail('installation', messageOf(error), advice) };
  }
}

/** What it has noted that it started, with itself: so far as this account may see. */
function notedProcesses(layout: Layout): Set<number> {
  try {
    const noted = Object.values(readProcesses(layout.processesFile));
    return new Set([...noted, supervisorProcess(layout) ?? []].flat().map(({ pid }) => pid));
  } catch {
    return new Set();
  }
}
