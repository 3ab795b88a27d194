import { noticedBy } from './mutation.ts';

const HTTP = 'kit/http.ts';
const REQUEST_END = 'kit/request-end.ts';
const RPC = 'kit/rpc.ts';

export const listeners = [
  ...noticedBy('test/integration/loggregator/log-cache-api.test.ts', [
    ['SECURITY 25: one read is bounded', 'loggregator/read-request.ts', '4 * 1024 ** 2', '64 * 1024 ** 2'],
    [
      'SECURITY 25: one read is bounded',
      'loggregator/log-cache-api.ts',
      'answers.enter(reply.raw, bearer.name);\n    if (sourceId',
      'answers.enter(reply.raw, String(Math.random()));\n    if (sourceId',
    ],
    [
      'SECURITY 25: whoever asks for all sources',
      'loggregator/log-cache-api.ts',
      "refuseBeyond(metaLimiter, bearer.name, 'too many requests; try again later');",
      '',
    ],
  ]),
  ...noticedBy('test/integration/platform/doors.test.ts', [
    [
      'SECURITY 22, 25: a peer without certificate',
      RPC,
      'requestCert: true,\n      rejectUnauthorized: true,',
      'requestCert: true,\n      rejectUnauthorized: false,',
    ],
    [
      'SECURITY 22, 25: a component of the wrong kind',
      HTTP,
      'if (!(served?.peers ?? [...known]).includes(name))',
      'if (false)',
    ],
    [
      'SECURITY 22, 25: a component of the wrong kind',
      REQUEST_END,
      '      if (left < 0) request.pause();',
      '      if (left < 0) return;',
    ],
    [
      'SECURITY 25: the log cache',
      REQUEST_END,
      'const cut = setTimeout(() => request.destroy(), UNREAD_MS);',
      'const cut = 0;',
    ],
    [
      'SECURITY 25, 29: a blob',
      'blobstore/blobstore.ts',
      'return isSigned(grant, signature, signingKey) && expires',
      'return expires',
    ],
    ['SECURITY 25: an internal call', RPC, '    readMaxBytes: MESSAGE_BYTES,\n', ''],
    ['SECURITY 25: a compressed message', RPC, '    ...NO_COMPRESSION,\n    fallback', '    fallback'],
    ['SECURITY 25: many large messages', RPC, 'messages.count(request,', 'if (service === "") messages.count(request,'],
    [
      'SECURITY 25: fifty senders',
      REQUEST_END,
      '      left -= chunk.length;\n      if (left < 0) request.pause();',
      '      left -= 0;\n      ((globalThis as { kept?: Buffer[] }).kept ??= []).push(chunk);',
    ],
    [
      'SECURITY 22: the admin socket',
      'platform/admin-socket.ts',
      '  giveSocket(path, { mode: 0o600 });\n',
      '  giveSocket(path, { mode: 0o666 });\n',
    ],
    ['SECURITY 25: the admin socket', 'platform/admin-socket.ts', '    boundUnread(message, response);\n', ''],
  ]),
  ...noticedBy('test/integration/platform/nats.test.ts', [
    ['TLS-07, SECURITY 22: the bus', 'platform/engines/nats.ts', 'verify_and_map: true', 'verify: true'],
    [
      'TLS-07, SECURITY 22: the bus',
      'platform/roles/cut.ts',
      '    .map(({ name }) => name);',
      "    .map(({ name }) => name).concat('cell');",
    ],
    [
      'TLS-07, SECURITY 22, 25: without TLS',
      'platform/engines/nats.ts',
      'tls { ${files}, verify_and_map: true, timeout: 5 }\nauthorization { users: [ ${peers.map((name) => `{ user: "${name}" }`).join(\', \')} ], timeout: 5 }\n',
      'tls { ${files}, timeout: 5 }\n',
    ],
  ]),
  ...noticedBy('test/e2e/push.test.ts', [
    [
      'SECURITY 25: fifty senders',
      REQUEST_END,
      '      left -= chunk.length;\n      if (left < 0) request.pause();',
      '      left -= 0;\n      ((globalThis as { kept?: Buffer[] }).kept ??= []).push(chunk);',
    ],
  ]),
];
