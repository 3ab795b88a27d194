import { noticedBy } from './mutation.ts';

const API = 'cli/push/api.ts';
const MANIFEST = 'cli/push/manifest.ts';

// biome-ignore-start lint/suspicious/noTemplateCurlyInString: the code's own text
export const cli = [
  ...noticedBy('test/unit/cli/push.test.ts', [
    ['SECURITY: sends no password', API, 'ca: credentials.ca_cert,', 'rejectUnauthorized: false,'],
    [
      'SECURITY: sends no password',
      API,
      'ca: credentials.ca_cert,',
      'ca: credentials.ca_cert, checkServerIdentity: () => undefined,',
    ],
    ['SECURITY: a manifest leads', MANIFEST, "if (file !== null && typeof own === 'string') await", 'if (false) await'],
    ['SECURITY: a manifest leads', MANIFEST, 'realpath(path)]', 'path]'],
    ['SECURITY: a manifest leads', MANIFEST, '`${above}${sep}`', 'above'],
    ['SECURITY: a staging log', 'cli/printable.ts', 'stripVTControlCharacters(text)', 'text'],
    ['SECURITY: a staging log', 'cli/printable.ts', ".replaceAll(/[^\\P{Cc}\\n]/gu, ' ')", ''],
    ['SECURITY: a log that grows', 'cli/push/app-log.ts', ' || this.#next > began', ''],
  ]),
  ...noticedBy('test/unit/cli/help.test.ts', [
    ['SECURITY: an error moves', 'cli/run.ts', 'printable(messageOf(error))', 'messageOf(error)'],
    ['SECURITY: an error moves', 'cli/run.ts', 'printable(messageOf(cause))', 'messageOf(cause)'],
  ]),
  ...noticedBy('test/unit/cli/completion.test.ts', [
    ['SECURITY: TAB installs nothing', '../cupola', "'completion --'", "'never'"],
  ]),
];
// biome-ignore-end lint/suspicious/noTemplateCurlyInString: the code's own text
