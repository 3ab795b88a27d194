import { messageOf } from '../../kit/errors.ts';
import type { Logger } from '../../kit/log.ts';
import { type ProcessIdentity, terminate } from '../../kit/process.ts';
import type { Supervised } from '../components/supervised.ts';
import type { Layout } from '../layout.ts';
import { readProcesses, writeProcesses, writeRestarts } from '../processes.ts';
import { removeRemains } from '../remains.ts';

const STOP_MS = 15_000;

/**
 * Ends everything in order: cells first, so that their containers are not taken for crashed, and those last of all. With what
 * listened go the addresses it listened on, and what guarded both. One that the kernel does not let end keeps nothing else from it.
 */
export async function endAll(all: readonly Supervised[], layout: Layout, log: Logger): Promise<void> {
  const end = async (identity: ProcessIdentity, graceMs: number, first: NodeJS.Signals): Promise<void> => {
    await terminate(identity, graceMs, first).catch((error: unknown) => log.error(messageOf(error)));
  };
  for (const supervised of all.toReversed()) {
    const { identity, component } = supervised;
    if (identity) await end(identity, STOP_MS, component.stopSignal);
    for (const other of supervised.others()) await end(other, 0, 'SIGKILL');
  }
  await removeRemains(layout, log);
  const { processesFile, restartsFile } = layout;
  writeProcesses(processesFile, readProcesses(processesFile)); // those that do not end
  writeRestarts(restartsFile, {});
}
