import { noticedBy } from './mutation.ts';

export const sshProxy = [
  ...noticedBy('test/integration/ssh-proxy/ssh-login.test.ts', [
    [
      'SECURITY-TESTS 17: one code',
      'ssh-proxy/login.ts',
      'if (!allowed || !owner) return null;',
      'if (!owner) return null;',
    ],
    [
      'SECURITY-TESTS 17: one code',
      'ssh-proxy/login.ts',
      "index === wanted.index && state === 'RUNNING'",
      "state === 'RUNNING'",
    ],
    [
      'SECURITY-TESTS 17: one code',
      'ssh-proxy/login.ts',
      'if (accessToken === null) return null;',
      "if (accessToken === null) return logIn({ ...options, exchangeCode: async () => '' }, userName, code, address);",
    ],
    [
      'SECURITY-TESTS 28: codes',
      'ssh-proxy/connection.ts',
      'user: context.username.slice(0, 100), address }',
      'user: context.username.slice(0, 100), tried: context.password, address }',
    ],
  ]),
  ...noticedBy('test/integration/ssh-proxy/ssh-proxy.test.ts', [
    [
      'SECURITY-TESTS 33: a forwarded connection',
      'cell/garden/dial.ts',
      'new Socket({ fd: socketIn(network), allowHalfOpen: true })',
      'new Socket({ allowHalfOpen: true, ...(port === 9000 ? { fd: socketIn(network) } : {}) })',
    ],
  ]),
  ...noticedBy('test/integration/ssh-proxy/door.test.ts', [
    ['SECURITY 17, 25: the server names itself', 'ssh-proxy/ssh-proxy.ts', "ident: 'Cupola',", "ident: 'Other',"],
    [
      'SECURITY 25: who is not known sends megabytes',
      'ssh-proxy/ssh-proxy.ts',
      '        () => socket.destroy(),',
      '        () => {},',
    ],
    [
      'SECURITY 25: who is not known has a bounded number',
      'ssh-proxy/connection.ts',
      '!this.#served && socket',
      'false && socket',
    ],
    [
      'SECURITY 25: connections of one address',
      'ssh-proxy/admission.ts',
      'if (this.#count(address) >= this.#limits.unauthenticatedPerAddress)',
      'if (this.#count(address) < 0)',
    ],
    [
      'SECURITY 25: connections of many addresses',
      'ssh-proxy/admission.ts',
      'else if (this.#visitors.size >= this.#limits.unauthenticated)',
      'else if (this.#visitors.size < 0)',
    ],
  ]),
  ...noticedBy('test/integration/ssh-proxy/connection-shares.test.ts', [
    [
      'SECURITY 30: no user has the connections',
      'ssh-proxy/places.ts',
      '(this.#users.get(userGuid) ?? 0) >= this.#most',
      'false',
    ],
    [
      'SECURITY 30: no app has the connections',
      'ssh-proxy/places.ts',
      '(this.#apps.get(appGuid) ?? 0) >= this.#most',
      'false',
    ],
    [
      'SECURITY 30: connections that begin at once',
      'ssh-proxy/places.ts',
      'this.#add(userGuid, appGuid, 1);',
      'setTimeout(() => this.#add(userGuid, appGuid, 1), 100);',
    ],
    [
      'SECURITY 25: who is told that there is no place',
      'ssh-proxy/connection.ts',
      '!this.#served && socket',
      '!client.authenticated && socket',
    ],
    [
      'SECURITY 30: no user has the sessions',
      'ssh-proxy/connection.ts',
      'shared.sessions.take(grant)',
      'shared.sessions.take({ ...grant, userGuid: crypto.randomUUID() })',
    ],
    [
      'SECURITY 30: who sends what nobody takes',
      'ssh-proxy/unread.ts',
      'own > this.#total * SHARE',
      'own > this.#total',
    ],
  ]),
  ...noticedBy('test/e2e/shared/ssh.test.ts', [
    [
      'SECURITY-TESTS 17: a code is good once',
      'uaa/oauth/authorization-codes.ts',
      "      .deleteFrom('authorization_codes')\n      .where('code_hash', '=', hashOf(code))\n      .returningAll()",
      "      .selectFrom('authorization_codes')\n      .where('code_hash', '=', hashOf(code))\n      .selectAll()",
    ],
    [
      'SECURITY-TESTS 28: what is secret',
      'ssh-proxy/connection.ts',
      'user: context.username.slice(0, 100), address }',
      'user: context.username.slice(0, 100), tried: context.password, address }',
    ],
  ]),
];
