import { setTimeout as pause } from 'node:timers/promises';
import type { DescService } from '@bufbuild/protobuf';
import { type Client, Code, ConnectError, type Transport } from '@connectrpc/connect';
import { CellOperations } from '../../contracts/gen/cell-operations_pb.js';
import { CloudControllerInternal } from '../../contracts/gen/cloud-controller_pb.js';
import { Bbs, CellRegistry, Rep } from '../../contracts/gen/diego_pb.js';
import { Ingress } from '../../contracts/gen/loggregator_pb.js';
import { CellSsh } from '../../contracts/gen/ssh_pb.js';
import { TokenRevocations } from '../../contracts/gen/token-revocations_pb.js';
import { AuthorizationCodes, TokenKeys, UserDirectory } from '../../contracts/gen/uaa_pb.js';
import { codeOf } from '../../kit/errors.ts';
import { client, inMemoryTransport, type PeerTable, type Routes, remoteTransport } from '../../kit/rpc.ts';
import type { Identity } from '../../kit/tls.ts';
import type { PlatformSettings } from '../settings/schema.ts';
import { processOf, type RoleProcess } from './cut.ts';
import { ROLES, type Role } from './names.ts';

type Caller = Role | 'cell' | 'supervisor';

/** Which role serves each contract, and who may call it. One that is missing may be called by nobody. */
const CONTRACTS: readonly { service: DescService; servedBy: Role; callers: readonly Caller[] }[] = [
  { service: Bbs, servedBy: 'brain', callers: ['api', 'routing', 'ssh', 'supervisor'] },
  { service: CellOperations, servedBy: 'brain', callers: ['supervisor'] },
  { service: CellRegistry, servedBy: 'brain', callers: ['cell'] },
  { service: CloudControllerInternal, servedBy: 'api', callers: ['brain', 'logs', 'ssh'] },
  { service: Ingress, servedBy: 'logs', callers: ['api', 'routing', 'ssh', 'cell'] },
  { service: TokenKeys, servedBy: 'uaa', callers: ['api', 'logs'] },
  { service: TokenRevocations, servedBy: 'uaa', callers: ['api', 'logs'] },
  { service: UserDirectory, servedBy: 'uaa', callers: ['api'] },
  { service: AuthorizationCodes, servedBy: 'uaa', callers: ['ssh'] },
];

/** The roles that call a cell. */
const CALLERS_OF_CELLS = { [Rep.typeName]: 'brain', [CellSsh.typeName]: 'ssh' } as const;

type Cut = Pick<PlatformSettings, 'overlay' | 'separateRoles'>;

/** Who may call what on the internal listener of a process (mutual TLS, by common name). Its own roles call each other in memory. */
export function peersOf(settings: Cut, self: RoleProcess): PeerTable {
  const names = (callers: readonly Caller[]): string[] => [...new Set(callers.map((one) => nameOf(settings, one)))];
  const own = CONTRACTS.filter(({ servedBy }) => self.roles.includes(servedBy));
  return Object.fromEntries(
    own.map(({ service, callers }) => [service.typeName, names(callers).filter((name) => name !== self.name)]),
  );
}

/** The same on the listener of a cell. */
export function peersOfCell(settings: Cut): PeerTable {
  return Object.fromEntries(
    Object.entries(CALLERS_OF_CELLS).map(([service, role]) => [service, [processOf(settings, role).name]]),
  );
}

function nameOf(settings: Cut, caller: Caller): string {
  const role = ROLES.find((one) => one === caller);
  return role === undefined ? caller : processOf(settings, role).name;
}

/** Where the internal listener of the process with this role is. */
export function rpcUrlOf(settings: Cut & Pick<PlatformSettings, 'ports'>, role: Role): string {
  return `https://${processOf(settings, role).address}:${settings.ports.rpc}`;
}

/** Hands out the contracts of all roles: in memory where the role is of this process, and else over mutual TLS. Who calls cannot tell which. */
export class Contracts {
  readonly #settings: Cut & Pick<PlatformSettings, 'ports'>;
  readonly #self: RoleProcess;
  readonly #identity: Identity;
  readonly #served = new Map<Role, Transport>();
  readonly #remote = new Map<string, Transport>();

  constructor(settings: Cut & Pick<PlatformSettings, 'ports'>, self: RoleProcess, identity: Identity) {
    this.#settings = settings;
    this.#self = self;
    this.#identity = identity;
  }

  /** A role of this process serves these: whoever calls earlier is told to come again. */
  serve(role: Role, routes: Routes): void {
    this.#served.set(role, inMemoryTransport(routes));
  }

  client<Service extends DescService>(service: Service): Client<Service> {
    const role = CONTRACTS.find(({ service: { typeName } }) => typeName === service.typeName)!.servedBy;
    return client(service, this.#self.roles.includes(role) ? this.#own(role) : this.#of(role));
  }

  #own(role: Role): Transport {
    const transport = (): Transport => {
      const served = this.#served.get(role);
      if (!served) throw new ConnectError(`${role} is starting`, Code.Unavailable);
      return served;
    };
    return {
      unary: async (...call) => transport().unary(...call),
      stream: async (...call) => transport().stream(...call),
    };
  }

  #of(role: Role): Transport {
    const { name } = processOf(this.#settings, role);
    const known = this.#remote.get(name);
    if (known) return known;
    const made = waiting(remoteTransport(rpcUrlOf(this.#settings, role), this.#identity, name));
    this.#remote.set(name, made);
    return made;
  }
}

/** How long a call waits for a process that is being started again: as long as the router waits for it. */
const WAIT_MS = 15_000;
const AGAIN_MS = 100;

/** A call that found nobody listening was seen by nobody: it is made again, so that a restart shows as a wait. */
function waiting(transport: Transport): Transport {
  const unary: Transport['unary'] = async (...call) => {
    const deadline = performance.now() + WAIT_MS;
    const signal = call[1];
    for (;;) {
      try {
        return await transport.unary(...call);
      } catch (error) {
        if (!isRefused(error) || signal?.aborted || performance.now() > deadline) throw error;
        await pause(AGAIN_MS);
      }
    }
  };
  return { unary, stream: (...call) => transport.stream(...call) };
}

function isRefused(error: unknown): boolean {
  return error instanceof ConnectError && codeOf(error.cause) === 'ECONNREFUSED';
}
