import { installationId } from '../layout.ts';
import { ensureSettings, type UpOptions } from '../settings/ensure.ts';
import type { PlatformSettings } from '../settings/schema.ts';
import { loadSettings } from '../settings/store.ts';
import { type InstallationPlaces, lockInstallations, noteInstallation, requireOwnId } from './installations.ts';
import { otherSettings, requireOwnAddresses } from './shared-addresses.ts';

/**
 * `ensureSettings` for an installation that this machine is to run: id and addresses are its alone, and noted before another can choose.
 * Throws `id_taken` and `addresses_taken` before anything is changed.
 */
export async function settle(
  options: UpOptions,
  check: (made: PlatformSettings) => Promise<void>,
  places?: InstallationPlaces,
): Promise<PlatformSettings> {
  using _ = await lockInstallations();
  const { dataDirectory } = options;
  const before = loadSettings(dataDirectory);
  const own = { id: before?.id ?? installationId(dataDirectory), dataDirectory };
  requireOwnId(own, places);
  if (before) requireOwnAddresses(before, places);
  const settings = await ensureSettings(options, { others: otherSettings(own, places), check });
  noteInstallation(settings, places);
  return settings;
}
