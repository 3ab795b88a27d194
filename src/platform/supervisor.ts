import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { request } from 'node:https';
import type { Client } from '@connectrpc/connect';
import { teardownGarden } from '../cell/garden/teardown.ts';
import { ensureAddress } from '../cell/network/host.ts';
import { CellOperations, type CellSummary } from '../contracts/gen/cell-operations_pb.js';
import { Bbs } from '../contracts/gen/diego_pb.js';
import { messageOf } from '../kit/errors.ts';
import type { Logger } from '../kit/log.ts';
import { isAlive, type ProcessIdentity, signal, terminate } from '../kit/process.ts';
import { client, remoteTransport } from '../kit/rpc.ts';
import { ownAddresses } from './addresses.ts';
import { cellName, gardenSettingsOf } from './cell-settings.ts';
import { ComponentCertificates } from './certificates.ts';
import { Keeper } from './component.ts';
import { components, LISTENER_HOLDER, listeningSockets } from './components.ts';
import { type Accounts, ensureAccounts } from './host/accounts.ts';
import { Listeners } from './listeners.ts';
import { bindMount } from './mounts.ts';
import { ensureSecrets, type Secrets } from './secrets.ts';
import { type Layout, layoutOf, type PlatformSettings, publicUrl } from './settings.ts';
import type { CellStatus, PlatformStatus } from './supervisor-client.ts';

const TICK_MS = 200;
const STOP_MS = 15_000;

interface DiegoServices {
  bbs: Client<typeof Bbs>;
  operations: Client<typeof CellOperations>;
}

/** Starts the engines, control and the cells, restarts what dies, and reports. Whatever runs already is adopted. */
export class Supervisor {
  readonly #layout: Layout;
  readonly #log: Logger;
  readonly #secrets: Secrets;
  readonly #certificates: ComponentCertificates;
  readonly #keepers: Keeper[];
  #server: Server | null = null;
  #timer: NodeJS.Timeout | undefined;
  #stopping = false;
  #services: DiegoServices | null = null;

  private constructor(layout: Layout, secrets: Secrets, accounts: Accounts, log: Logger) {
    this.#layout = layout;
    this.#secrets = secrets;
    this.#log = log;
    this.#certificates = new ComponentCertificates(secrets);
    const adopted = readProcesses(layout);
    const listeners = new Listeners(listeningSockets(layout, accounts), layout.listenersFile);
    const holder = adopted[LISTENER_HOLDER] ?? null;
    if (!listeners.adopt(holder, log) && holder) {
      signal(holder, 'SIGTERM'); // what it held is open here, or another set is wanted
      delete adopted[LISTENER_HOLDER];
    }
    this.#keepers = components({
      layout,
      accounts,
      secrets,
      certificates: this.#certificates,
      listeners,
      onExit: () => this.#tendAll(),
      log,
    }).map((component) => new Keeper(component, adopted[component.name] ?? null));
  }

  static async start(settings: PlatformSettings, log: Logger): Promise<Supervisor> {
    const layout = layoutOf(settings);
    await prepareDirectories(layout);
    // Before sockets are opened on them.
    for (const address of ownAddresses(settings)) await ensureAddress(address);
    const supervisor = new Supervisor(layout, await ensureSecrets(settings), await ensureAccounts(settings.cells), log);
    await supervisor.#listen();
    await supervisor.#startAll();
    return supervisor;
  }

  /** Ends everything in order: cells first, so that their containers are not taken for crashed, and those last of all. */
  async down(): Promise<void> {
    this.#stopping = true;
    clearInterval(this.#timer);
    for (const keeper of this.#keepers.toReversed()) {
      const { identity } = keeper;
      if (identity) await terminate(identity, STOP_MS, keeper.component.stopSignal);
    }
    for (let index = 0; index < this.#layout.settings.cells; index++) {
      await teardownGarden(gardenSettingsOf(this.#layout, index, this.#log));
    }
    writeProcesses(this.#layout, {});
  }

  async status(): Promise<PlatformStatus> {
    const listed = this.#keepers.map((keeper) => ({
      name: keeper.component.name,
      pid: keeper.identity?.pid ?? null,
      state: keeper.state,
      restarts: keeper.restarts,
      account: keeper.component.account?.name ?? 'root',
    }));
    const [answers, seen] = await Promise.all([this.#apiAnswers(), this.#cellsSeen()]);
    const cells = Array.from({ length: this.#layout.settings.cells }, (_, index) => {
      const id = cellName(index);
      return { id, lastSeen: seen.get(id) ?? null };
    });
    return {
      ready: answers && listed.every((one) => one.state === 'running') && cells.every((cell) => cell.lastSeen !== null),
      api: publicUrl(this.#layout.settings, 'api'),
      components: listed,
      certificates: this.#certificates.expiries(),
      cells,
    };
  }

  /** Every cell as Diego sees it, and those of this machine that it does not see. Throws while control does not answer. */
  async cells(): Promise<CellStatus[]> {
    const { operations } = await this.#control();
    const seen = new Map((await operations.list({})).cells.map((cell) => [cell.presence?.cellId ?? '', cell]));
    const own = Array.from({ length: this.#layout.settings.cells }, (_, index) => cellName(index));
    return [...new Set([...own, ...seen.keys()])].map((id) => cellStatus(id, seen.get(id)));
  }

  /** The engines side by side; control and the cells once those run. */
  async #startAll(): Promise<void> {
    const isEngine = ({ component }: Keeper) => component.name !== 'control' && component.account !== null;
    await Promise.all(this.#keepers.filter(isEngine).map((keeper) => this.#tend(keeper)));
    await Promise.all(this.#keepers.filter((keeper) => !isEngine(keeper)).map((keeper) => this.#tend(keeper)));
    this.#timer = setInterval(() => this.#tendAll(), TICK_MS);
  }

  /** Each by itself, so that one that is slow to start keeps no other from coming back. */
  #tendAll(): void {
    for (const keeper of this.#keepers) void this.#tend(keeper);
  }

  async #tend(keeper: Keeper): Promise<void> {
    if (this.#stopping) return;
    try {
      if (!(await keeper.tend())) return;
      const { component, identity, restarts } = keeper;
      this.#log.info('started', { name: component.name, pid: identity?.pid, restarts });
      this.#remember();
    } catch (error) {
      this.#log.error('a component could not be started; it is tried again', {
        name: keeper.component.name,
        error: messageOf(error),
      });
    }
  }

  #remember(): void {
    const running = this.#keepers.flatMap((keeper) =>
      keeper.identity ? [[keeper.component.name, keeper.identity] as const] : [],
    );
    writeProcesses(this.#layout, Object.fromEntries(running));
  }

  async #listen(): Promise<void> {
    rmSync(this.#layout.supervisorSocket, { force: true });
    this.#server = createServer((message, response) => {
      const answer = (body: unknown): void => {
        response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
      };
      const work = async (): Promise<void> => {
        const order = /^\/cells\/([a-z0-9-]{1,64})\/(drain|resume)$/.exec(message.url ?? '');
        if (message.method === 'GET' && message.url === '/status') answer(await this.status());
        else if (message.method === 'GET' && message.url === '/cells') answer(await this.cells());
        else if (message.method === 'POST' && order) {
          const { operations } = await this.#control();
          await operations.setDraining({ cellId: order[1]!, draining: order[2] === 'drain' });
          answer({});
        } else if (message.method === 'POST' && message.url === '/down') {
          await this.down();
          answer({ pid: process.pid });
          this.#server?.close();
          setTimeout(() => process.exit(0), 100);
        } else response.writeHead(404).end();
      };
      work().catch((error: unknown) => response.writeHead(500).end(messageOf(error)));
    });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#server.once('error', reject);
    this.#server.listen(this.#layout.supervisorSocket, resolve);
    await promise;
    chmodSync(this.#layout.supervisorSocket, 0o600);
  }

  /** Through the router, as a client comes. */
  #apiAnswers(): Promise<boolean> {
    const { settings } = this.#layout;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const host = `api.${settings.domain}`;
    const call = request(
      {
        host: settings.bindAddress === '0.0.0.0' ? '127.0.0.1' : settings.bindAddress,
        port: settings.httpsPort,
        path: '/v3/info',
        servername: host,
        headers: { host },
        ca: this.#secrets.routerRoot.cert,
        timeout: 3000,
        agent: false,
      },
      (response) => {
        response.resume();
        resolve(response.statusCode === 200);
      },
    );
    call.on('timeout', () => call.destroy());
    call.on('error', () => resolve(false));
    call.end();
    return promise;
  }

  /** Diego's services, in control. */
  async #control(): Promise<DiegoServices> {
    if (!this.#services) {
      const identity = await this.#certificates.component('supervisor');
      const { rpc } = this.#layout.settings.ports;
      const transport = remoteTransport(`https://127.0.0.1:${rpc}`, identity, 'control', { timeoutMs: 3000 });
      this.#services = { bbs: client(Bbs, transport), operations: client(CellOperations, transport) };
    }
    return this.#services;
  }

  async #cellsSeen(): Promise<Map<string, string>> {
    try {
      const { bbs } = await this.#control();
      const { cells } = await bbs.cells({});
      return new Map(cells.map((cell) => [cell.cellId, new Date(Number(cell.lastSeenNs / 1_000_000n)).toISOString()]));
    } catch {
      return new Map();
    }
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

/** What other accounts may walk to lies under /run; the data directory itself stays closed. */
async function prepareDirectories(layout: Layout): Promise<void> {
  const { settings, run } = layout;
  mkdirSync(run, { recursive: true });
  chmodSync(run, 0o711);
  for (const name of ['postgresql', 'control', 'logs', 'buildpacks', 'cells']) {
    mkdirSync(`${settings.dataDirectory}/${name}`, { recursive: true, mode: 0o700 });
  }
  const accounts = await ensureAccounts(settings.cells);
  mkdirSync(`${run}/postgresql`, { recursive: true });
  await bindMount(`${settings.dataDirectory}/postgresql`, `${run}/postgresql/data`, 'read-write');
  chownSync(`${settings.dataDirectory}/control`, accounts.control.uid, accounts.control.gid);
  await bindMount(`${settings.dataDirectory}/control`, `${run}/control`, 'read-write');
  chmodSync(layout.buildpacks, 0o755);
  await bindMount(layout.buildpacks, `${run}/buildpacks`, 'read-only');
  await bindMount(new URL('../..', import.meta.url).pathname, layout.program, 'read-only');
}

function readProcesses(layout: Layout): Record<string, ProcessIdentity> {
  if (!existsSync(layout.processesFile)) return {};
  const listed = JSON.parse(readFileSync(layout.processesFile, 'utf8')) as Record<string, ProcessIdentity>;
  return Object.fromEntries(Object.entries(listed).filter(([, identity]) => isAlive(identity)));
}

function writeProcesses(layout: Layout, processes: Record<string, ProcessIdentity>): void {
  writeFileSync(`${layout.processesFile}.new`, JSON.stringify(processes), { mode: 0o600 });
  renameSync(`${layout.processesFile}.new`, layout.processesFile);
}
