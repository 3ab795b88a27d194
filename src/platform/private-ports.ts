import type { PrivatePort } from '../cell/network/private-ports.ts';
import { cellAddress } from './addresses.ts';
import type { Accounts } from './host/accounts.ts';
import { roleProcesses } from './roles/cut.ts';
import type { PlatformSettings } from './settings/schema.ts';

const LOOPBACK = '127.0.0.1';

/**
 * Where components hear each other, and the accounts that call there (root does everywhere: cells and the supervisor are). All demand
 * a certificate; these accounts alone may open a connection, so that nobody else has a listener hold anything for it.
 */
export function privatePorts(
  settings: Pick<PlatformSettings, 'ports' | 'cells' | 'overlay' | 'separateRoles'>,
  accounts: Pick<Accounts, 'control' | 'router'>,
): PrivatePort[] {
  const { ports } = settings;
  const control = accounts.control.uid;
  const router = accounts.router.uid;
  const ofCells = Array.from({ length: settings.cells }, (_, index) => [
    { address: cellAddress(settings, index), port: ports.rep[index]!, accounts: [control] },
    { address: cellAddress(settings, index), port: ports.proxy[index]!, accounts: [router] },
  ]);
  return [
    ...roleProcesses(settings).flatMap(({ address }) => [
      { address, port: ports.control, accounts: [control, router] },
      { address, port: ports.rpc, accounts: [control] },
    ]),
    { address: LOOPBACK, port: ports.nats, accounts: [control] },
    ...ofCells.flat(),
  ];
}
