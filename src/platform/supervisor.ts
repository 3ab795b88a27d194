import { chmodSync, chownSync, mkdirSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { teardownGarden } from '../cell/garden/teardown.ts';
import { ensureAddress } from '../cell/network/host.ts';
import { CupolaError, messageOf } from '../kit/errors.ts';
import { lockFile } from '../kit/lock.ts';
import type { Logger } from '../kit/log.ts';
import { signal, terminate } from '../kit/process.ts';
import { ownAddresses } from './addresses.ts';
import { type AdminOperations, askAdmin, serveAdmin } from './admin-socket.ts';
import type { CellCredentials } from './bootstrap.ts';
import { cellName, gardenSettingsOf } from './cell-settings.ts';
import { ComponentCertificates } from './certificates.ts';
import { Keeper } from './component.ts';
import { components, LISTENER_HOLDER, listeningSockets } from './components.ts';
import { Health } from './health.ts';
import { type Accounts, ensureAccounts } from './host/accounts.ts';
import { refreshSystemTrust } from './host/system-trust.ts';
import { Listeners } from './listeners.ts';
import { logFilesIn, rotateLogs } from './log-files.ts';
import { bindMount, unmountOthers } from './mounts.ts';
import { readProcesses, writeProcesses } from './processes.ts';
import { PROJECT, programDigest, programsOf, writeSupervisorCommand } from './program.ts';
import { type Rotatable, Rotation } from './rotation.ts';
import { ensureSecrets, type Secrets, saveSecrets } from './secrets.ts';
import { type Layout, layoutOf, type PlatformSettings, publicUrl } from './settings.ts';
import type { DrainRequest, PlatformStatus, RotateRequest, UpgradeRequest } from './supervisor-client.ts';
import { Updates } from './updates.ts';

const TICK_MS = 200;
const STOP_MS = 15_000;
const ROTATE_LOGS_MS = 30_000;
/** Longer than `timeout http-keep-alive` of the router. */
const SETTLE_MS = 65_000;
const TEND_CERTIFICATES_MS = 10_000;

/** Starts the engines, control and the cells, restarts what dies, and reports. Whatever runs already is adopted. */
export class Supervisor {
  readonly #layout: Layout;
  readonly #log: Logger;
  readonly #accounts: Accounts;
  readonly #certificates: ComponentCertificates;
  readonly #keepers: Keeper[];
  readonly #rotation: Rotation;
  readonly #updates: Updates;
  readonly #health: Health;
  readonly #program = programDigest();
  readonly #timers: NodeJS.Timeout[] = [];
  #secrets: Secrets;
  #server: { close(): unknown } | null = null;
  #timer: NodeJS.Timeout | undefined;
  readonly #tending = new Set<Promise<void>>();
  #stopping = false;
  /** Nothing runs from code of before any more, and that code is shown no more. */
  #alone = false;

  private constructor(layout: Layout, secrets: Secrets, accounts: Accounts, log: Logger) {
    this.#layout = layout;
    this.#secrets = secrets;
    this.#accounts = accounts;
    this.#log = log;
    const current = (): Secrets => this.#secrets;
    this.#certificates = new ComponentCertificates(current, layout.certificatesFile);
    const certificates = this.#certificates;
    const adopted = readProcesses(layout.processesFile);
    const listeners = new Listeners(listeningSockets(layout, accounts), layout.listenersFile);
    const holder = adopted[LISTENER_HOLDER] ?? null;
    if (!listeners.adopt(holder, log) && holder) {
      signal(holder, 'SIGTERM'); // what it held is open here, or another set is wanted
      delete adopted[LISTENER_HOLDER];
    }
    const onExit = (): void => this.#tendAll();
    const parts = { layout, program: this.#program, accounts, secrets: current, certificates, listeners, onExit, log };
    this.#keepers = components(parts).map((component) => {
      const keeper = new Keeper(component, adopted[component.name] ?? null);
      for (const [name, identity] of Object.entries(adopted)) {
        if (name.startsWith(`${component.name} `)) keeper.leaving.push(identity);
      }
      return keeper;
    });
    this.#health = new Health(layout, certificates);
    this.#updates = new Updates(this.#keepers, (name, since) => this.#isWell(name, since), log.child('updates'));
    this.#rotation = new Rotation({
      keepers: this.#keepers,
      certificates,
      secrets: current,
      save: (next) => {
        saveSecrets(layout.settings, next);
        this.#secrets = next;
      },
      renewInstances: () => this.#renewInstances(),
      rotateSigningKey: async () => {
        await askAdmin(layout.adminSocketOf('control'), 'POST /rotate-signing-key');
      },
      changed: () => this.#remember(),
      settle: () => this.#settle(),
      routerRootsChanged: () => refreshSystemTrust(layout.settings, certificates.roots('router')),
      log: log.child('rotation'),
    });
  }

  /** Throws `locked` where another supervisor of this installation runs. */
  static async start(settings: PlatformSettings, log: Logger): Promise<Supervisor> {
    const layout = layoutOf(settings);
    mkdirSync(layout.run, { recursive: true });
    // For as long as this process lives.
    lockFile(`${layout.run}/supervisor.lock`, 'supervisor');
    await prepareDirectories(layout);
    // Before sockets are opened on them.
    for (const address of ownAddresses(settings)) await ensureAddress(address);
    const supervisor = new Supervisor(layout, await ensureSecrets(settings), await ensureAccounts(settings.cells), log);
    supervisor.#server = await serveAdmin(layout.supervisorSocket, supervisor.#operations());
    writeSupervisorCommand(layout, process.execPath, process.argv[1]!);
    await supervisor.#startAll();
    supervisor.#every(ROTATE_LOGS_MS, async () => supervisor.#rotateLogs());
    supervisor.#every(TEND_CERTIFICATES_MS, () => supervisor.#rotation.tend());
    return supervisor;
  }

  /** Ends everything in order: cells first, so that their containers are not taken for crashed, and those last of all. */
  async down(): Promise<void> {
    await this.leave();
    for (const keeper of this.#keepers.toReversed()) {
      const { identity } = keeper;
      if (identity) await terminate(identity, STOP_MS, keeper.component.stopSignal);
      for (const leaving of keeper.stillLeaving()) await terminate(leaving, 0, 'SIGKILL');
    }
    for (let index = 0; index < this.#layout.settings.cells; index++) {
      await teardownGarden(gardenSettingsOf(this.#layout, index, this.#log));
    }
    writeProcesses(this.#layout.processesFile, {});
  }

  /** Begins nothing more and returns when nothing is half done. What runs goes on running; the next supervisor adopts it. */
  async leave(): Promise<void> {
    this.#stopping = true;
    for (const timer of this.#timers) clearTimeout(timer);
    clearInterval(this.#timer);
    await Promise.all([this.#updates.stop(), this.#rotation.idle()]);
    await Promise.all(this.#tending);
    this.#remember();
  }

  async status(): Promise<PlatformStatus> {
    const listed = this.#keepers.map((keeper) => ({
      name: keeper.component.name,
      pid: keeper.identity?.pid ?? null,
      state: keeper.state,
      restarts: keeper.restarts,
      account: keeper.component.account?.name ?? 'root',
    }));
    const [answers, seen, instances] = await Promise.all([
      this.#health.apiAnswers(),
      this.#health.cellsSeen(),
      this.#instanceExpiries(),
    ]);
    const cells = this.#cellNames().map((id) => ({ id, lastSeen: seen.get(id) ?? null }));
    return {
      ready: answers && listed.every((one) => one.state === 'running') && cells.every((cell) => cell.lastSeen !== null),
      api: publicUrl(this.#layout.settings, 'api'),
      components: listed,
      certificates: [...this.#certificates.expiries(), ...instances],
      cells,
      supervisor: { pid: process.pid, project: PROJECT, program: this.#program, node: process.execPath },
      update: this.#updates.status,
      rotation: this.#rotation.status,
    };
  }

  #operations(): AdminOperations {
    return {
      'GET /status': () => this.status(),
      'GET /cells': () => this.#health.cells(this.#cellNames()),
      'POST /drain': (body) => this.#health.setDraining(body as DrainRequest),
      'POST /down': async () => {
        await this.down();
        this.#end();
        return { pid: process.pid };
      },
      'POST /leave': async () => {
        await this.leave();
        this.#end();
        return { pid: process.pid };
      },
      'POST /rotate': async (body) => {
        const { what, overlapMs } = body as RotateRequest;
        return { done: await this.#rotation.rotate(what as Rotatable, overlapMs) };
      },
      'POST /upgrade': async (body) => {
        const { node, main } = body as UpgradeRequest;
        await this.leave();
        // After the answer: this very process becomes the next supervisor, so that whoever watches it by number sees it stay.
        setTimeout(() => become(node, main, this.#layout.settings.dataDirectory, this.#log), 100);
        return { pid: process.pid };
      },
    };
  }

  #end(): void {
    this.#server?.close();
    setTimeout(() => process.exit(0), 100);
  }

  /** The engines side by side; control and the cells once those run. */
  async #startAll(): Promise<void> {
    const isEngine = ({ component }: Keeper) => component.name !== 'control' && component.account !== null;
    await Promise.all(this.#keepers.filter(isEngine).map((keeper) => this.#tend(keeper)));
    await Promise.all(this.#keepers.filter((keeper) => !isEngine(keeper)).map((keeper) => this.#tend(keeper)));
    if (!this.#stopping) this.#timer = setInterval(() => this.#tendAll(), TICK_MS);
  }

  /** Each by itself, so that one that is slow to start keeps no other from coming back. */
  #tendAll(): void {
    for (const keeper of this.#keepers) void this.#tend(keeper);
    if (this.#stopping) return;
    this.#updates.tend(() => this.#remember());
    const { outdated } = this.#updates.status;
    if (this.#alone || outdated.length > 0) return;
    this.#alone = true;
    void unmountOthers(programsOf(this.#layout.run), this.#layout.program);
  }

  async #tend(keeper: Keeper): Promise<void> {
    if (this.#stopping) return;
    const work = this.#start(keeper);
    this.#tending.add(work);
    await work.finally(() => this.#tending.delete(work));
  }

  async #start(keeper: Keeper): Promise<void> {
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
    const notes = this.#keepers.flatMap(({ component, note }) => (note ? [[component.name, note] as const] : []));
    const leaving = this.#keepers.flatMap((keeper) =>
      keeper.stillLeaving().map((identity) => [`${keeper.component.name} ${identity.pid}`, identity] as const),
    );
    writeProcesses(this.#layout.processesFile, Object.fromEntries([...notes, ...leaving]));
  }

  /** Once a replaced process is well, the next is replaced. */
  async #isWell(name: string, since: number): Promise<boolean> {
    const keeper = this.#keepers.find(({ component }) => component.name === name);
    if (keeper?.state !== 'running') return false;
    if (name === 'control' || name === 'router') return this.#health.apiAnswers();
    const index = this.#cellNames().indexOf(name);
    if (index < 0) return Date.now() - since > 1_000;
    return Date.parse((await this.#health.cellsSeen()).get(name) ?? '') > since + 500;
  }

  /** A kept-alive connection of a client may hold a replaced router for a minute; a tunnel for longer, but that makes no new ones. */
  async #settle(): Promise<void> {
    const deadline = Date.now() + SETTLE_MS;
    while (Date.now() < deadline && this.#keepers.some((keeper) => keeper.stillLeaving().length > 0)) {
      if (this.#stopping) throw new CupolaError('leaving', 'the next supervisor goes on with it');
      await pause(200);
    }
  }

  async #renewInstances(): Promise<{ renewed: number }> {
    let renewed = 0;
    for (const name of this.#cellNames()) {
      const path = this.#layout.adminSocketOf(name);
      const outcome = await askAdmin<{ renewed: number; failed: number }>(path, 'POST /renew-credentials');
      if (outcome.failed > 0) {
        throw new CupolaError('not_renewed', `${outcome.failed} instances of ${name} have no new certificate yet`);
      }
      renewed += outcome.renewed;
    }
    return { renewed };
  }

  /** The instance certificate that ends first, of each cell. */
  async #instanceExpiries(): Promise<PlatformStatus['certificates']> {
    const found = this.#cellNames().map(async (name) => {
      const path = this.#layout.adminSocketOf(name);
      const held = await askAdmin<CellCredentials>(path, 'GET /credentials', undefined, 3_000).catch(() => null);
      if (held === null || held.earliestEnd === null) return [];
      const what = held.count === 1 ? '1 instance' : `first of ${held.count} instances`;
      return [{ name: `${name} (${what})`, notAfter: new Date(held.earliestEnd).toISOString() }];
    });
    return (await Promise.all(found)).flat();
  }

  #rotateLogs(): void {
    const database = {
      path: `${this.#layout.settings.dataDirectory}/postgresql/server.log`,
      archive: `${this.#layout.logs}/postgresql.log`,
      uid: this.#accounts.postgresql.uid,
    };
    const rotated = rotateLogs([...logFilesIn(this.#layout.logs), database]);
    if (rotated.length > 0) this.#log.info('log files were begun anew', { rotated });
  }

  /** Again and again until the supervisor leaves; a failure is told and tried again. */
  #every(milliseconds: number, body: () => Promise<void>): void {
    const slot = this.#timers.length;
    const next = (): void => {
      this.#timers[slot] = setTimeout(async () => {
        if (this.#stopping) return;
        await body().catch((error: unknown) => this.#log.warn('it is tried again', { error: messageOf(error) }));
        if (!this.#stopping) next();
      }, milliseconds);
    };
    next();
  }

  #cellNames(): string[] {
    return Array.from({ length: this.#layout.settings.cells }, (_, index) => cellName(index));
  }
}

/** What other accounts may walk to lies under /run; the data directory itself stays closed. */
async function prepareDirectories(layout: Layout): Promise<void> {
  const { settings, run } = layout;
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
  await bindMount(PROJECT, layout.program, 'read-only');
}

/** Replaces this process's program, as exec(3) does: same number, same log, everything else anew. */
function become(node: string, main: string, dataDirectory: string, log: Logger): void {
  log.info('another supervisor takes over', { main });
  process.execve?.(node, [node, main, dataDirectory], { ...process.env });
}
