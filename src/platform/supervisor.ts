import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { request } from 'node:https';
import { teardownGarden } from '../cell/garden/teardown.ts';
import { Bbs } from '../contracts/gen/diego_pb.js';
import { messageOf } from '../kit/errors.ts';
import type { Logger } from '../kit/log.ts';
import { isAlive, type ProcessIdentity, signal, terminate } from '../kit/process.ts';
import { client, remoteTransport } from '../kit/rpc.ts';
import { cellName, gardenSettingsOf } from './cell-settings.ts';
import { ComponentCertificates } from './certificates.ts';
import { Keeper } from './component.ts';
import { components, LISTENER_HOLDER, listeningSockets } from './components.ts';
import { ensureAccounts } from './host/accounts.ts';
import { Listeners } from './listeners.ts';
import { bindMount } from './mounts.ts';
import { ensureSecrets, type Secrets } from './secrets.ts';
import { type Layout, layoutOf, type PlatformSettings, publicUrl } from './settings.ts';
import type { PlatformStatus } from './supervisor-client.ts';

const TICK_MS = 200;
const STOP_MS = 15_000;

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
  #cells: ReturnType<typeof client<typeof Bbs>> | null = null;

  private constructor(
    layout: Layout,
    secrets: Secrets,
    accounts: Awaited<ReturnType<typeof ensureAccounts>>,
    log: Logger,
  ) {
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
    const supervisor = new Supervisor(layout, await ensureSecrets(settings), await ensureAccounts(), log);
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
        if (message.method === 'GET' && message.url === '/status') answer(await this.status());
        else if (message.method === 'POST' && message.url === '/down') {
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

  async #cellsSeen(): Promise<Map<string, string>> {
    try {
      if (!this.#cells) {
        const identity = await this.#certificates.component('supervisor');
        this.#cells = client(
          Bbs,
          remoteTransport(`https://127.0.0.1:${this.#layout.settings.ports.rpc}`, identity, 'control', 3000),
        );
      }
      const { cells } = await this.#cells.cells({});
      return new Map(cells.map((cell) => [cell.cellId, new Date(Number(cell.lastSeenNs / 1_000_000n)).toISOString()]));
    } catch {
      return new Map();
    }
  }
}

/** What other accounts may walk to lies under /run; the data directory itself stays closed. */
async function prepareDirectories(layout: Layout): Promise<void> {
  const { settings, run } = layout;
  mkdirSync(run, { recursive: true });
  chmodSync(run, 0o711);
  for (const name of ['postgresql', 'control', 'logs', 'buildpacks', 'cells']) {
    mkdirSync(`${settings.dataDirectory}/${name}`, { recursive: true, mode: 0o700 });
  }
  const accounts = await ensureAccounts();
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
