import { join } from 'node:path';
import Type from 'typebox';
import { checked, checkedJson } from '../../kit/checked.ts';
import { readOwnFile, realDirectory, replaceFile } from '../../kit/owned-files.ts';
import { installationId } from '../layout.ts';
import { PlatformSettings } from './schema.ts';

/** What the settings of an earlier version do not say. */
export const EARLIER = { zones: 1, cellTags: [], sshPort: null, ports: { ssh: 0 } };

/** Of any version: what is missing in it is what EARLIER says. */
const Stored = Type.Object({ ports: Type.Object({}) });

/**
 * Null where nothing was installed in this directory. However it was named, now or at first, what comes of it names it without links,
 * as mounts are listed; its id stays. Throws `unsafe_path` where another account could have put it there, or another in its place (what
 * stands there says what root ends and removes); `invalid_file` with the field that is not as declared; what the system says (EACCES)
 * where this account may not look.
 */
export function loadSettings(directory: string): PlatformSettings | null {
  const dataDirectory = realDirectory(directory);
  const file = join(dataDirectory, 'settings.json');
  const text = readOwnFile(file);
  if (text === null) return null;
  const written = checkedJson(Stored, text, { code: 'invalid_file', what: file });
  const complete = { ...EARLIER, ...written, ports: { ...EARLIER.ports, ...written.ports } };
  const stored = checked(PlatformSettings, complete, { code: 'invalid_file', what: file });
  const ownKey = stored.keyFile.startsWith(`${stored.dataDirectory}/`);
  const keyFile = ownKey ? join(dataDirectory, stored.keyFile.slice(stored.dataDirectory.length)) : stored.keyFile;
  return { ...stored, dataDirectory, keyFile };
}

/** Whole or not at all. */
export function saveSettings(settings: PlatformSettings): void {
  const file = join(settings.dataDirectory, 'settings.json');
  replaceFile(file, `${JSON.stringify(settings, null, 2)}\n`, { mode: 0o600 });
}

/**
 * Held by whoever changes the installation as a whole, by whatever way its directory was named. In /run: a destroyed data directory
 * must not take it along.
 */
export function lockFileOf(dataDirectory: string): string {
  const directory = realDirectory(dataDirectory);
  return `/run/cupola-${loadSettings(directory)?.id ?? installationId(directory)}.lock`;
}
