import { type PlatformPort, portHolders } from '../ports.ts';
import { type Finding, findingsOf } from './finding.ts';

const { ok, warn, fail } = findingsOf('ports');

/** Which of the ports are taken, and by whom; those of the platform's own processes are fine. `hidden`: it cannot be said which these are. */
export function portFindings(wanted: readonly PlatformPort[], own: ReadonlySet<number>, hidden = false): Finding[] {
  const holders = portHolders(wanted, own);
  return wanted.map(({ port, purpose }) => {
    const what = `${port} (${purpose})`;
    const holder = holders.get(port);
    if (!holder) return ok(what, 'free');
    if (holder.own.length > 0) return ok(what, `the platform's own (${holder.own.join(', ')})`);
    if (hidden) return warn(what, `held by ${holder.who}`, 'that may be the platform itself: ask as root');
    return fail(what, `held by ${holder.who}`, holder.advice);
  });
}
