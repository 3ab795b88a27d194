import { noticedBy } from './mutation.ts';

const CONTRACTS = 'platform/roles/contracts.ts';

/** Each contract is opened to one who has no business there. */
const OPENED: readonly (readonly [service: string, from: string, to: string])[] = [
  [
    'cupola.diego.v1.Bbs',
    "callers: ['api', 'routing', 'ssh', 'supervisor']",
    "callers: ['api', 'routing', 'ssh', 'supervisor', 'uaa']",
  ],
  ['cupola.diego.v1.CellOperations', "callers: ['supervisor'] }", "callers: ['supervisor', 'cell'] }"],
  ['cupola.diego.v1.CellRegistry', "callers: ['cell'] }", "callers: ['cell', 'logs'] }"],
  ['cupola.cloudcontroller.v1', "callers: ['brain', 'logs', 'ssh']", "callers: ['brain', 'logs', 'ssh', 'cell']"],
  [
    'cupola.loggregator.v1.Ingress',
    "callers: ['api', 'routing', 'ssh', 'cell']",
    "callers: ['api', 'routing', 'ssh', 'cell', 'brain']",
  ],
  [
    'cupola.uaa.v1.TokenKeys',
    "service: TokenKeys, servedBy: 'uaa', callers: ['api', 'logs']",
    "service: TokenKeys, servedBy: 'uaa', callers: ['api', 'logs', 'cell']",
  ],
  [
    'cupola.uaa.v1.TokenRevocations',
    "service: TokenRevocations, servedBy: 'uaa', callers: ['api', 'logs']",
    "service: TokenRevocations, servedBy: 'uaa', callers: ['api', 'logs', 'ssh']",
  ],
  ['cupola.uaa.v1.UserDirectory', "callers: ['api'] }", "callers: ['api', 'logs'] }"],
  ['cupola.uaa.v1.AuthorizationCodes', "callers: ['ssh'] }", "callers: ['ssh', 'api'] }"],
];

export const roles = [
  ...noticedBy('test/unit/platform/roles.test.ts', [
    ...OPENED.map(([service, from, to]) => [`TLS-07, SECURITY 22: ${service}`, CONTRACTS, from, to] as const),
    ['TLS-07, SECURITY 22: a cell is called by', CONTRACTS, "[CellSsh.typeName]: 'ssh'", "[CellSsh.typeName]: 'brain'"],
    ['TLS-07, SECURITY 22: the router takes', 'router/config.ts', 'verifyhost ${name} ', 'verifyhost control '],
    [
      'TLS-07, SECURITY 22: who listens',
      'kit/rpc.ts',
      '    servername: serverName,\n',
      '    checkServerIdentity: () => undefined,\n',
    ],
  ]),
  ...noticedBy('test/unit/contracts/token-keys.test.ts', [
    [
      'SECURITY 14: a key that was dropped',
      'contracts/token-keys.ts',
      'if (!this.#known || age > this.#times.maxAgeMs) return',
      'if (!this.#known) return',
    ],
    [
      'SECURITY 14: while UAA is away its keys',
      'contracts/token-keys.ts',
      'if (!this.#known || age > this.#times.maxAgeMs) return',
      'if (!this.#known) return',
    ],
  ]),
];
