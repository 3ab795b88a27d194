import { CupolaError } from '../../kit/errors.ts';
import { CellCredentials, type Expiry, Renewed } from '../admin-messages.ts';
import { askAdmin } from '../admin-socket.ts';
import { cellNames } from '../cell-settings.ts';
import type { Layout } from '../layout.ts';

const LIMIT_MS = 3_000;

/** New certificates for the instances of every cell; gives how many. Throws `not_renewed` where some of a cell have none yet. */
export async function renewInstances(layout: Layout): Promise<{ renewed: number }> {
  let renewed = 0;
  for (const name of cellNames(layout.settings)) {
    const outcome = await askAdmin(layout.adminSocketOf(name), 'POST /renew-credentials', { answer: Renewed });
    if (outcome.failed > 0) {
      throw new CupolaError('not_renewed', `${outcome.failed} instances of ${name} have no new certificate yet`);
    }
    renewed += outcome.renewed;
  }
  return { renewed };
}

/** The instance certificate that ends first, of each cell that answers. */
export async function instanceExpiries(layout: Layout): Promise<Expiry[]> {
  const found = cellNames(layout.settings).map(async (name) => {
    const question = { answer: CellCredentials, timeoutMs: LIMIT_MS };
    const held = await askAdmin(layout.adminSocketOf(name), 'GET /credentials', question).catch(() => null);
    if (held === null || held.earliestEnd === null) return [];
    const what = held.count === 1 ? '1 instance' : `first of ${held.count} instances`;
    return [{ name: `${name} (${what})`, notAfter: new Date(held.earliestEnd).toISOString() }];
  });
  return (await Promise.all(found)).flat();
}
