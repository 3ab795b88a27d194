import { type PlatformPort, portHolders } from '../ports.ts';
import { type Finding, findingsOf } from './finding.ts';

const { ok, fail } = findingsOf('ports');

/** Which of the ports are taken, and by whom; those of the platform's own processes are fine. */
export function portFindings(wanted: readonly PlatformPort[], own: ReadonlySet<number>): Finding[] {
  const holders = portHolders(wanted, own);
  return wanted.map(({ port, purpose }) => {
    const what = `${port} (${purpose})`;
    const holder = holders.get(port);
    if (!holder) return ok(what, 'free');
    if (holder.own.length > 0) return ok(what, `the platform's own (${holder.own.join(', ')})`);
    return fail(what, `held by ${holder.who}`, holder.advice);
  });
}
