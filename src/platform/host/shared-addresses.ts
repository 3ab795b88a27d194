import { CupolaError } from '../../kit/errors.ts';
import { layoutOf } from '../layout.ts';
import { readProcesses } from '../processes.ts';
import { commandFor } from '../settings/data-option.ts';
import type { PlatformSettings } from '../settings/schema.ts';
import { loadSettings } from '../settings/store.ts';
import { type InstallationPlaces, installations } from './installations.ts';

/** What the settings of the machine's other installations say, whether they run or not. What is out of reach says nothing. */
export function otherSettings({ id }: Pick<PlatformSettings, 'id'>, places?: InstallationPlaces): PlatformSettings[] {
  return [...installations(places)].flatMap(([other, data]) => (other === id ? [] : (settingsIn(data) ?? [])));
}

/** Another that runs at this one's addresses; null where none does. Earlier versions chose by what ran just then, and gave two the same. */
export function runningAtOwnAddresses(
  own: Pick<PlatformSettings, 'id' | 'overlay'>,
  places?: InstallationPlaces,
): PlatformSettings | null {
  return otherSettings(own, places).find((other) => other.overlay === own.overlay && runs(other)) ?? null;
}

/** Throws `addresses_taken` where another runs at this one's addresses. What runs itself is let be: nothing of it is started anew. */
export function requireOwnAddresses(own: PlatformSettings, places?: InstallationPlaces): void {
  const other = runs(own) ? null : runningAtOwnAddresses(own, places);
  if (other === null) return;
  const message = `${own.dataDirectory} has the addresses (${own.overlay}.0.0/16) of ${other.dataDirectory}, which runs`;
  const advice = `one of them at a time: ${commandFor('down', other)} first; for both, destroy one and install it anew`;
  throw new CupolaError('addresses_taken', `${message}; ${advice}`);
}

/** Whatever of it: its supervisor may be gone. */
function runs(settings: PlatformSettings): boolean {
  return Object.keys(readProcesses(layoutOf(settings).processesFile)).length > 0;
}

/** Null where there are none yet or any more, or they are out of reach. */
function settingsIn(directory: string): PlatformSettings | null {
  try {
    return loadSettings(directory);
  } catch {
    return null;
  }
}
