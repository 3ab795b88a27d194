import { codeOf, messageOf } from '../../kit/errors.ts';
import type { PlatformSettings } from '../settings/schema.ts';
import { loadSettings } from '../settings/store.ts';
import { type Finding, findingsOf } from './finding.ts';

const { fail } = findingsOf('platform');

/** What is installed in a directory: null where nothing is, where its settings are damaged, or where we may not look. */
export function installed(directory: string): { settings: PlatformSettings | null; damage: Finding[] } {
  try {
    return { settings: loadSettings(directory), damage: [] };
  } catch (error) {
    if (codeOf(error) === 'EACCES') return { settings: null, damage: [] }; // root's, and we are not
    if (codeOf(error) !== 'invalid_file') throw error;
    const advice = 'put the file back as an `up` wrote it; docs/settings.md says what stands there';
    return { settings: null, damage: [fail('settings', messageOf(error), advice)] };
  }
}
