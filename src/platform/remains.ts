import { rm } from 'node:fs/promises';
import { teardownGarden } from '../cell/garden/teardown.ts';
import { openRange, removeAddress } from '../cell/network/host.ts';
import { unpinAll, useEngines } from '../kit/engines.ts';
import type { Logger } from '../kit/log.ts';
import { containerRanges, ownAddresses } from './addresses.ts';
import { gardenSettingsOf, startedFrom } from './cell-settings.ts';
import { ProcessorGroups } from './host/processor-groups.ts';
import { runningAtOwnAddresses } from './host/shared-addresses.ts';
import type { Layout } from './layout.ts';

/**
 * Takes away what lasts only as long as an installation runs, once its processes have ended: containers, what router and proxies
 * would start with of them, addresses, what guarded both, their groups, the namespaces of the engines. What another has too that runs stays.
 */
export async function removeRemains(layout: Layout, log: Logger): Promise<void> {
  const { settings } = layout;
  for (let index = 0; index < settings.cells; index++) await teardownGarden(gardenSettingsOf(layout, index, log));
  // They begin before control and the cells are there: where containers were is by then nobody's address, or another app's.
  for (const directory of startedFrom(layout)) await rm(directory, { recursive: true, force: true });
  const other = runningAtOwnAddresses(settings);
  const theirs = new Set(other === null ? [] : [...containerRanges(other), ...ownAddresses(other)]);
  for (const range of containerRanges(settings)) if (!theirs.has(range)) await openRange(range);
  for (const address of ownAddresses(settings)) if (!theirs.has(address)) await removeAddress(address);
  await new ProcessorGroups(settings.id).remove();
  useEngines(null);
  await unpinAll(layout.enginePins);
}
