import { request } from 'node:https';
import type { Client } from '@connectrpc/connect';
import { CellOperations, type CellSummary } from '../contracts/gen/cell-operations_pb.js';
import { Bbs } from '../contracts/gen/diego_pb.js';
import { codeOf } from '../kit/errors.ts';
import { withOwnSocket } from '../kit/owned-files.ts';
import { client, remoteTransport } from '../kit/rpc.ts';
import { healthSocketOf } from '../router/index.ts';
import { type CellStatus, type DrainRequest, Faults, RouterRoutes } from './admin-messages.ts';
import { askAdmin } from './admin-socket.ts';
import { routerSettingsOf } from './cell-settings.ts';
import type { ComponentCertificates } from './certificates.ts';
import type { Layout } from './layout.ts';
import { rpcUrlOf } from './roles/contracts.ts';
import { processOf } from './roles/cut.ts';

const LIMIT_MS = 3_000;

interface DiegoServices {
  bbs: Client<typeof Bbs>;
  operations: Client<typeof CellOperations>;
}

/** How the platform looks from outside of its processes, and what the supervisor asks of Diego. */
export class Health {
  readonly #layout: Layout;
  readonly #certificates: ComponentCertificates;
  readonly #socket: string;
  #made: (DiegoServices & { roots: string; until: number }) | null = null;

  constructor(layout: Layout, certificates: ComponentCertificates) {
    this.#layout = layout;
    this.#certificates = certificates;
    this.#socket = healthSocketOf(routerSettingsOf(layout, 0));
  }

  /** Whether the API answers through the router, as a client comes; but at a socket where no client's share is in the way. */
  async apiAnswers(): Promise<boolean> {
    const { settings } = this.#layout;
    try {
      return await withOwnSocket(this.#socket, (socketPath) => this.#asks({ socketPath }));
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') return false;
    }
    // A router that an earlier version started has no such socket.
    const host = settings.bindAddress === '0.0.0.0' ? '127.0.0.1' : settings.bindAddress;
    return this.#asks({ host, port: settings.httpsPort });
  }

  #asks(where: { socketPath: string } | { host: string; port: number }): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const host = `api.${this.#layout.settings.domain}`;
    const ca = this.#certificates.roots('router');
    const target = { path: '/v3/info', servername: host, headers: { host }, ca, agent: false } as const;
    const call = request({ ...where, ...target }, (response) => {
      resolve(response.statusCode === 200);
      call.destroy(); // how much it says, and how slowly, is not waited for
    });
    const late = setTimeout(() => call.destroy(), LIMIT_MS);
    call.on('error', () => resolve(false));
    call.on('close', () => resolve(false));
    call.end();
    return promise.finally(() => clearTimeout(late));
  }

  /** Whether a process with a role of control has come up: it hears the supervisor once it serves. */
  async answers(name: string): Promise<boolean> {
    const question = { answer: Faults, timeoutMs: LIMIT_MS };
    return askAdmin(this.#layout.adminSocketOf(name), 'GET /faults', question).then(
      () => true,
      () => false,
    );
  }

  /** What the router does not serve, or not as it was asked to; null where control does not say. */
  async routes(): Promise<RouterRoutes | null> {
    try {
      const socket = this.#layout.adminSocketOf(processOf(this.#layout.settings, 'routing').name);
      return await askAdmin(socket, 'GET /router', { answer: RouterRoutes, timeoutMs: LIMIT_MS });
    } catch {
      return null;
    }
  }

  /** When the registry heard of each cell last (ISO 8601); nothing while it does not answer. */
  async cellsSeen(): Promise<Map<string, string>> {
    try {
      const { cells } = await (await this.#diego()).bbs.cells({});
      return new Map(cells.map((cell) => [cell.cellId, new Date(Number(cell.lastSeenNs / 1_000_000n)).toISOString()]));
    } catch {
      return new Map();
    }
  }

  /** Every cell as Diego sees it, and those of `own` that it does not see. Throws while control does not answer. */
  async cells(own: readonly string[]): Promise<CellStatus[]> {
    const { operations } = await this.#diego();
    const seen = new Map((await operations.list({})).cells.map((cell) => [cell.presence?.cellId ?? '', cell]));
    return [...new Set([...own, ...seen.keys()])].map((id) => cellStatus(id, seen.get(id)));
  }

  /** Begins to empty a cell, or calls it off. */
  async setDraining({ cellId, draining }: DrainRequest): Promise<void> {
    await (await this.#diego()).operations.setDraining({ cellId, draining });
  }

  /** Diego's services, with a certificate of our own: made anew when the roots change, and once a day. */
  async #diego(): Promise<DiegoServices> {
    const roots = this.#certificates.roots('platform');
    if (this.#made?.roots === roots && Date.now() < this.#made.until) return this.#made;
    const identity = await this.#certificates.component('supervisor');
    const { settings } = this.#layout;
    const { name } = processOf(settings, 'brain');
    const transport = remoteTransport(rpcUrlOf(settings, 'brain'), identity, name, { timeoutMs: LIMIT_MS });
    const services = { bbs: client(Bbs, transport), operations: client(CellOperations, transport) };
    this.#made = { ...services, roots, until: Date.now() + 86_400_000 };
    return services;
  }
}

function cellStatus(id: string, cell: CellSummary | undefined): CellStatus {
  const { presence, live = false, instances = 0, tasks = 0, waiting = [] } = cell ?? {};
  return {
    id,
    live,
    draining: presence?.draining ?? false,
    zone: presence?.zone ?? '',
    address: presence?.address ?? '',
    placementTags: [...(presence?.placementTags ?? [])],
    instances,
    tasks,
    waiting: waiting.map((one) => ({ reason: one.reason, instances: one.instances })),
  };
}
