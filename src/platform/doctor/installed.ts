import { codeOf, messageOf } from '../../kit/errors.ts';
import type { PlatformSettings } from '../settings/schema.ts';
import { loadSettings } from '../settings/store.ts';
import { type Finding, findingsOf } from './finding.ts';

const { fail, warn } = findingsOf('platform');

/**
 * What is installed in a directory: null where nothing is, and where its settings cannot be read, as `problems` say then. `hidden`: they are not
 * for this account.
 */
export function installed(directory: string): {
  settings: PlatformSettings | null;
  hidden: boolean;
  problems: Finding[];
} {
  try {
    return { settings: loadSettings(directory), hidden: false, problems: [] };
  } catch (error) {
    if (codeOf(error) === 'EACCES') {
      const notShown = warn('installation', `${directory} is root's, and not shown to this account`, 'ask as root');
      return { settings: null, hidden: true, problems: [notShown] };
    }
    if (codeOf(error) !== 'invalid_file') throw error;
    const advice = 'put the file back as an `up` wrote it; docs/settings.md says what stands there';
    return { settings: null, hidden: false, problems: [fail('settings', messageOf(error), advice)] };
  }
}
