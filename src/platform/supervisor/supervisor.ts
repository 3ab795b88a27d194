import { setTimeout as pause } from 'node:timers/promises';
import { closeRanges, ensureInstallation } from '../../cell/network/host.ts';
import { CupolaError, messageOf } from '../../kit/errors.ts';
import { lockFile } from '../../kit/lock.ts';
import type { Logger } from '../../kit/log.ts';
import { makeDirectory } from '../../kit/owned-files.ts';
import { isAlive, signal, terminate } from '../../kit/process.ts';
import { programDigest } from '../../kit/project.js';
import { containerRanges, ownAddresses, routerAddress } from '../addresses.ts';
import type { PlatformStatus } from '../admin-messages.ts';
import { askAdmin, serveAdmin } from '../admin-socket.ts';
import { ComponentCertificates } from '../certificates.ts';
import { components } from '../components/all.ts';
import { LISTENER_HOLDER, listeningSockets } from '../components/listeners.ts';
import type { Supervised } from '../components/supervised.ts';
import { enterEngineImage, knowsImages } from '../engines/image/enter.ts';
import type { EngineImage } from '../engines/image/image.ts';
import { ensureSecrets } from '../ensure-secrets.ts';
import { FaultCounts } from '../fault-counts.ts';
import { Health } from '../health.ts';
import { type Accounts, ensureAccounts } from '../host/accounts.ts';
import { ProcessorGroups } from '../host/processor-groups.ts';
import { refreshSystemTrust } from '../host/system-trust.ts';
import { type Layout, layoutOf } from '../layout.ts';
import { Listeners } from '../listeners.ts';
import { rotatePlatformLogs } from '../log-files.ts';
import { unmountOthers } from '../mounts.ts';
import { privatePorts } from '../private-ports.ts';
import { type ProcessNotes, readProcesses } from '../processes.ts';
import { programsOf, supervisorLockOf, writeSupervisorCommand } from '../program.ts';
import { CONTROL, processOf, roleProcesses } from '../roles/cut.ts';
import { Rotation } from '../rotation.ts';
import { type Secrets, saveSecrets } from '../secrets.ts';
import type { PlatformSettings } from '../settings/schema.ts';
import { Updates } from '../updates.ts';
import { prepareDirectories } from './directories.ts';
import { endAll } from './down.ts';
import { renewInstances } from './instances.ts';
import { adoptAll, noteAll } from './notes.ts';
import { supervisorOperations } from './operations.ts';
import { isWell, platformStatus, type Watched } from './status.ts';
import { Work } from './work.ts';

const TICK_MS = 200;
const ROTATE_LOGS_MS = 30_000;
/** Longer than `timeout http-keep-alive` of the router. */
const SETTLE_MS = 65_000;
const TEND_CERTIFICATES_MS = 10_000;
/** After whoever loaded the machine's firewall anew. */
const GUARD_MS = 10_000;
const FOLLOW_MS = 10_000;
/** What was started while something took over. */
const PLACE_MS = 10_000;
/** Requests that a process has may end. */
const LEAVE_MS = 15_000;

/** Starts the engines, control and the cells, restarts what dies, and reports. Whatever runs already is adopted. */
export class Supervisor {
  readonly #layout: Layout;
  readonly #log: Logger;
  readonly #watched: Watched;
  readonly #work: Work;
  readonly #groups: ProcessorGroups;
  readonly #enginesRun = Promise.withResolvers<void>();
  #secrets: Secrets;
  #server: { close(): unknown } | null = null;
  #timer: NodeJS.Timeout | undefined;
  /** Nothing runs from code of before any more, and that code is shown no more. */
  #alone = false;
  #withoutGroups = false;

  private constructor(layout: Layout, engines: EngineImage, secrets: Secrets, accounts: Accounts, log: Logger) {
    this.#layout = layout;
    this.#secrets = secrets;
    this.#log = log;
    this.#work = new Work(log);
    this.#groups = new ProcessorGroups(layout.settings.id);
    const current = (): Secrets => this.#secrets;
    const certificates = new ComponentCertificates(current, layout.certificatesFile);
    const faults = new FaultCounts((name) => layout.adminSocketOf(name));
    const running = readProcesses(layout.processesFile);
    const parts = {
      layout,
      program: programDigest(),
      engines: engines.digest,
      engineRoot: engines.root,
      accounts,
      secrets: current,
      certificates,
      listeners: adoptListeners(layout, accounts, running, log),
      enginesRun: this.#enginesRun.promise,
      onExit: () => this.#tendAll(),
      onFault: (name: string) => faults.ended(name),
      log,
    };
    const all = adoptAll(components(parts, running), running, layout);
    const health = new Health(layout, certificates);
    const updates = new Updates(all, (name, since) => isWell(this.#watched, name, since), log.child('updates'));
    const rotation = this.#makeRotation(all, certificates);
    this.#watched = {
      layout,
      account: accounts.postgresql,
      program: parts.program,
      engines: parts.engines,
      components: all,
      certificates,
      faults,
      health,
      updates,
      rotation,
    };
  }

  /** Throws `locked` where another supervisor of this installation runs. */
  static async start(settings: PlatformSettings, log: Logger): Promise<Supervisor> {
    const layout = layoutOf(settings);
    makeDirectory(layout.run, { mode: 0o711 });
    // For as long as this process lives.
    lockFile(supervisorLockOf(layout.run), 'supervisor');
    // Before anything of the machine is changed: whoever cannot open them does not start.
    const secrets = await ensureSecrets(settings);
    const accounts = await ensureAccounts(settings);
    await prepareDirectories(layout, accounts);
    const engines = await enterEngineImage(layout, 'supervisor');
    // Before sockets are opened on them.
    const guard = async (): Promise<void> => {
      await ensureInstallation(ownAddresses(settings), routerAddress(settings), privatePorts(settings, accounts));
      await closeRanges(containerRanges(settings));
    };
    await guard();
    const supervisor = new Supervisor(layout, engines, secrets, accounts, log);
    supervisor.#server = await serveAdmin(layout.supervisorSocket, supervisor.#operations());
    writeSupervisorCommand(layout, process.execPath, process.argv[1]!);
    supervisor.#placeAll();
    await supervisor.#startAll();
    const work = supervisor.#work;
    work.every(ROTATE_LOGS_MS, async () => rotatePlatformLogs(layout, accounts.postgresql, log));
    work.every(GUARD_MS, guard); // there may be no cell that does it
    work.every(FOLLOW_MS, () => supervisor.#follow());
    work.every(PLACE_MS, async () => supervisor.#placeAll());
    work.every(TEND_CERTIFICATES_MS, () => supervisor.#watched.rotation.tend());
    return supervisor;
  }

  /** Ends everything. */
  async down(): Promise<void> {
    await this.leave();
    await endAll(this.#watched.components, this.#layout, this.#log);
  }

  /** Begins nothing more and returns when nothing is half done. What runs goes on running; the next supervisor adopts it. */
  async leave(): Promise<void> {
    this.#work.stop();
    clearInterval(this.#timer);
    await Promise.all([this.#watched.updates.stop(), this.#watched.rotation.idle()]);
    await this.#work.ended();
    this.#note();
  }

  async status(): Promise<PlatformStatus> {
    return { ...(await platformStatus(this.#watched)), leaving: this.#work.stopping };
  }

  #operations() {
    const { layout, health, rotation } = this.#watched;
    return supervisorOperations({
      ...{ layout, health, rotation },
      status: () => this.status(),
      down: () => this.down(),
      leave: () => this.leave(),
      end: () => {
        this.#server?.close();
        setTimeout(() => process.exit(0), ANSWERED_MS);
      },
      yieldTo: (node, main) => this.#yieldTo(node, main),
    });
  }

  /**
   * This very process becomes the supervisor of other code, after the answer, so that whoever watches it by number sees it stay. Where that
   * code would not find what it needs, it begins anew with its own, since it has left already.
   */
  async #yieldTo(node: string, main: string): Promise<void> {
    const next = (program: string, file: string, ready: () => void): void => {
      setTimeout(() => {
        ready();
        become(program, file, this.#layout.settings.dataDirectory, this.#log);
      }, ANSWERED_MS);
    };
    await this.leave();
    try {
      for (const { component } of this.#watched.components) await component.yieldTo?.(main);
    } catch (error) {
      next(process.execPath, process.argv[1]!, () => {});
      throw error;
    }
    next(node, main, () => {
      if (!knowsImages(main)) for (const { component } of this.#watched.components) component.makeWay?.();
    });
  }

  #makeRotation(all: readonly Supervised[], certificates: ComponentCertificates): Rotation {
    const layout = this.#layout;
    return new Rotation({
      components: all,
      certificates,
      secrets: () => this.#secrets,
      save: (next) => {
        saveSecrets(layout.settings, next);
        this.#secrets = next;
      },
      renewInstances: () => renewInstances(layout),
      rotateSigningKey: async () => {
        await askAdmin(layout.adminSocketOf(processOf(layout.settings, 'uaa').name), 'POST /rotate-signing-key');
      },
      changed: () => this.#note(),
      settle: () => this.#settle(),
      routerRootsChanged: () => refreshSystemTrust(layout.settings, certificates.roots('router')),
      log: this.#log.child('rotation'),
    });
  }

  /** All side by side; control, what was cut off it and the cells are told what to do once the engines run. */
  async #startAll(): Promise<void> {
    const all = this.#watched.components;
    const processes = roleProcesses(this.#layout.settings).map(({ name }) => name);
    const isEngine = ({ component }: Supervised): boolean =>
      component.account !== null && !processes.includes(component.name);
    const engines = Promise.all(all.filter(isEngine).map((one) => this.#tend(one)));
    void engines.then(() => this.#enginesRun.resolve());
    await Promise.all([engines, ...all.filter((one) => !isEngine(one)).map((one) => this.#tend(one))]);
    if (!this.#work.stopping) this.#timer = setInterval(() => this.#tendAll(), TICK_MS);
  }

  /** Each by itself, so that one that is slow to start keeps no other from coming back. */
  #tendAll(): void {
    const { components: all, updates } = this.#watched;
    for (const one of all) void this.#tend(one);
    if (this.#work.stopping) return;
    updates.tend(() => this.#note());
    if (this.#alone || updates.status.outdated.length > 0) return;
    this.#alone = true;
    void this.#endFormer();
  }

  /** What runs from code or from a cut of before, and what was shown for it. */
  async #endFormer(): Promise<void> {
    const control = this.#watched.components.find(({ component }) => component.name === CONTROL);
    const ended = (control?.stillLeaving() ?? []).map((identity) => terminate(identity, LEAVE_MS));
    await Promise.all(ended).catch((error: unknown) => this.#log.error(messageOf(error)));
    await unmountOthers(programsOf(this.#layout.run), this.#layout.program);
  }

  /** A name server is told which others there are now. */
  async #follow(): Promise<void> {
    for (const { component, identity } of this.#watched.components) if (identity) await component.follow?.(identity);
  }

  #tend(supervised: Supervised): Promise<void> {
    const { name } = supervised.component;
    return this.#work.do(async () => {
      try {
        if (!(await supervised.tend())) return;
        this.#log.info('started', { name, pid: supervised.identity?.pid, restarts: supervised.restarts });
        this.#note();
      } catch (error) {
        const told = { name, error: messageOf(error) };
        this.#log.error('a component could not be started; it is tried again', told);
      }
    });
  }

  #note(): void {
    noteAll(this.#watched.components, this.#layout);
    this.#placeAll();
  }

  /** Whatever runs has its share of the processors. The platform goes on without where the machine gives no groups. */
  #placeAll(): void {
    try {
      this.#groups.make();
      for (const { component, identity, leaving } of this.#watched.components) {
        for (const one of [identity, ...leaving]) if (one && isAlive(one)) this.#groups.place(component.name, one.pid);
      }
      this.#withoutGroups = false;
    } catch (error) {
      if (this.#withoutGroups) return;
      this.#withoutGroups = true;
      this.#log.warn('processes have no share of the processors of their own', { error: messageOf(error) });
    }
  }

  /** A kept-alive connection of a client may hold a replaced router for a minute; a tunnel for longer, but that makes no new ones. */
  async #settle(): Promise<void> {
    const deadline = Date.now() + SETTLE_MS;
    while (Date.now() < deadline && this.#watched.components.some((one) => one.stillLeaving().length > 0)) {
      if (this.#work.stopping) throw new CupolaError('leaving', 'the next supervisor goes on with it');
      await pause(200);
    }
  }
}

/** What was asked is answered by then. */
const ANSWERED_MS = 100;

/** The listening sockets, from a holder that runs. What another set is wanted than it holds, it ends, and is among the running no more. */
function adoptListeners(layout: Layout, accounts: Accounts, running: ProcessNotes, log: Logger): Listeners {
  const listeners = new Listeners(listeningSockets(layout, accounts), layout.listenersFile);
  const holder = running[LISTENER_HOLDER] ?? null;
  if (!listeners.adopt(holder, log) && holder) {
    signal(holder, 'SIGTERM'); // what it held is open here, or another set is wanted
    delete running[LISTENER_HOLDER];
  }
  return listeners;
}

/** Replaces this process's program, as exec(3) does: same number, same log, everything else anew. */
function become(node: string, main: string, dataDirectory: string, log: Logger): void {
  log.info('another supervisor takes over', { main });
  process.execve?.(node, [node, main, dataDirectory], { ...process.env });
}
