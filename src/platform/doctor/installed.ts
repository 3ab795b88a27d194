import { codeOf, messageOf } from '../../kit/errors.ts';
import { requireOwnId } from '../host/installations.ts';
import type { PlatformSettings } from '../settings/schema.ts';
import { loadSettings } from '../settings/store.ts';
import { type Finding, findingsOf } from './finding.ts';

const { fail, warn } = findingsOf('platform');

/** By what is wrong with its settings. */
const ADVICE: Record<string, string> = {
  invalid_file: 'put the file back as an `up` wrote it; docs/settings.md says what stands there',
  unsafe_path: "see who changed what there, and make it root's again",
  id_taken: 'nothing is done with it before one of the two is gone',
};

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
    const settings = loadSettings(directory);
    if (settings) requireOwnId(settings);
    return { settings, hidden: false, problems: [] };
  } catch (error) {
    if (codeOf(error) === 'EACCES') {
      const notShown = warn('installation', `${directory} is root's, and not shown to this account`, 'ask as root');
      return { settings: null, hidden: true, problems: [notShown] };
    }
    const advice = ADVICE[codeOf(error) ?? ''];
    if (advice === undefined) throw error;
    return { settings: null, hidden: false, problems: [fail('settings', messageOf(error), advice)] };
  }
}
