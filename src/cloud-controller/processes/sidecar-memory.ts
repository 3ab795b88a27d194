import type { Trx } from '../database.ts';
import { unprocessable } from '../errors.ts';
import type { Guid } from '../guid.ts';
import { processesOfApp } from './store.ts';

/**
 * What sidecars are given must leave something for the process they run beside. Throws UnprocessableEntity; call it after the
 * change, in its transaction.
 */
export async function checkSidecarMemory(trx: Trx, appGuid: Guid<'app'>): Promise<void> {
  const processes = await processesOfApp(trx, appGuid);
  const sidecars = await trx.selectFrom('sidecars').selectAll().where('app_guid', '=', appGuid).execute();
  for (const { type, memory_mb: memory } of processes) {
    const beside = sidecars.filter(({ process_types: types }) => types.includes(type));
    const taken = beside.reduce((sum, sidecar) => sum + (sidecar.memory_mb ?? 0), 0);
    if (taken >= memory) {
      throw unprocessable(`The memory allocation defined is too large to run with the dependent "${type}" process`);
    }
  }
}
