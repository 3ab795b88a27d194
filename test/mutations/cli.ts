import { noticedBy } from './mutation.ts';

const API = 'cli/push/api.ts';

export const cli = [
  ...noticedBy('test/unit/cli/push.test.ts', [
    ['SECURITY: sends no password', API, 'ca: credentials.ca_cert,', 'rejectUnauthorized: false,'],
    [
      'SECURITY: sends no password',
      API,
      'ca: credentials.ca_cert,',
      'ca: credentials.ca_cert, checkServerIdentity: () => undefined,',
    ],
    ['SECURITY: a staging log', 'cli/push/app-log.ts', 'stripVTControlCharacters(line)', 'line'],
    ['SECURITY: a staging log', 'cli/push/app-log.ts', ".replaceAll(/[\\p{Cc}]/gu, ' ')", ''],
  ]),
];
