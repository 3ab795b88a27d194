import { CupolaError } from '../kit/errors.ts';
import { realDirectory } from '../kit/owned-files.ts';
import { requireOwnId } from '../platform/host/installations.ts';
import { DEFAULT_DATA_DIRECTORY } from '../platform/layout.ts';
import type { PlatformSettings } from '../platform/settings/schema.ts';
import { loadSettings } from '../platform/settings/store.ts';

/** As the operator named it, without links. Throws `unsafe_path`. */
export function dataDirectory(value: string | undefined): string {
  return realDirectory(value ?? process.env['CUPOLA_DATA'] ?? DEFAULT_DATA_DIRECTORY);
}

/** The installation in that directory. Throws `not_installed`, and `id_taken` where a command would reach another that runs. */
export function installation(value: string | undefined): PlatformSettings {
  requireRoot();
  const directory = dataDirectory(value);
  const settings = loadSettings(directory);
  if (!settings) throw new CupolaError('not_installed', `nothing is installed in ${directory}; ./cupola up does it`);
  requireOwnId(settings);
  return settings;
}

/** Data directory, engines and containers are root's. */
export function requireRoot(): void {
  if (process.getuid?.() !== 0) throw new CupolaError('not_root', 'run this as root, for example with sudo');
}

export function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** The answer of a command: `value` for programs where `--json` asks for it, else `text`. */
export function answer(json: boolean | undefined, value: object, text: string): void {
  say(json ? JSON.stringify(value) : text);
}
