import { setTimeout as delay } from 'node:timers/promises';
import type { DesiredLrp, InstanceStats } from '../../contracts/gen/diego_pb.js';
import { type LogNames, type LogOrigin, renameOrigin } from '../../contracts/log-envelopes.ts';
import { blockSignal, linkSignals, onAbort } from '../../kit/abort.ts';
import { CupolaError, messageOf } from '../../kit/errors.ts';
import type { Logger } from '../../kit/log.ts';
import type { Container } from '../garden/garden.ts';
import { VALIDITY_MS } from '../identity/instance-identity.ts';
import { keepRenewed, type Renewal } from '../identity/renewal.ts';
import { cellOrigin } from '../logs/origins.ts';
import { LogRateLimit } from '../logs/rate-limit.ts';
import type { SshTarget } from '../ssh/service.ts';
import type { RepContext } from './collaborators.ts';
import { containerLimits, giveIdentity } from './container-files.ts';
import { desiredProperties, lrpProperties } from './container-properties.ts';
import { type Ending, startFailure } from './endings.ts';
import { InstanceHealth } from './instance-health.ts';
import { InstanceProcesses } from './instance-processes.ts';
import { LrpReports } from './lrp-reports.ts';
import { containerOf, prepareRunnable } from './runnable.ts';
import { instanceGauges, instanceStats, UsageMeter } from './usage.ts';

export type LrpState = 'reserved' | 'creating' | 'starting' | 'running' | 'ending' | 'finished';

/**
 * One instance of an LRP from its reservation to its end: claimed, made, started, found well, registered, watched, and
 * taken away again when it is stopped or crashes. What the registry must know is reported until it is taken.
 */
export class LrpInstance {
  readonly processGuid: string;
  readonly index: number;
  readonly instanceGuid: string;
  readonly #context: RepContext;
  readonly #desired: DesiredLrp;
  readonly #log: Logger;
  readonly #stopping = new AbortController();
  readonly #lost = new AbortController();
  readonly #detached = new AbortController();
  readonly #over = new AbortController();
  /** Under which names the cell speaks in the app's log. */
  readonly #origins: Readonly<Record<'CELL' | 'HEALTH', LogOrigin>>;
  readonly #rateLimit: LogRateLimit;
  readonly #processes: InstanceProcesses;
  readonly #reports: LrpReports;
  #state: LrpState = 'reserved';
  #container: Container | null = null;
  #meter: UsageMeter | null = null;
  #renewal: Renewal | null = null;
  #startedAt: number;

  constructor(context: RepContext, desired: DesiredLrp, index: number, instanceGuid: string) {
    this.processGuid = desired.processGuid;
    this.index = index;
    this.instanceGuid = instanceGuid;
    this.#context = context;
    this.#desired = desired;
    this.#startedAt = context.now();
    this.#log = context.log.child('lrp', { processGuid: desired.processGuid, index, instanceGuid });
    const origin = (source: 'CELL' | 'HEALTH') =>
      cellOrigin(desired.owner, { index, guid: instanceGuid }, source, context.cellId);
    this.#origins = { CELL: origin('CELL'), HEALTH: origin('HEALTH') };
    this.#rateLimit = new LogRateLimit(desired.logRateLimitBytesPerSecond);
    this.#processes = new InstanceProcesses(context, { desired, index, instanceGuid, rateLimit: this.#rateLimit });
    this.#reports = new LrpReports(context, {
      processGuid: desired.processGuid,
      index,
      instanceGuid,
      ports: desired.ports,
    });
  }

  get state(): LrpState {
    return this.#state;
  }

  /** Whether it is to get requests while it runs. */
  get routable(): boolean {
    return this.#reports.routable;
  }

  get stack(): string {
    return this.#desired.stack;
  }

  get dropletSha256(): string {
    return this.#desired.droplet?.sha256 ?? '';
  }

  /** Lives from the beginning; resolves when nothing of it is left and its end is reported. Never rejects. */
  run(): Promise<void> {
    return this.#live(async () => {
      await this.#bringUp();
      return this.#supervise(false);
    });
  }

  /** Takes over a container that outlived the cell's last process. */
  adopt(container: Container): Promise<void> {
    return this.#live(async () => {
      this.#have(container);
      if (!(await this.#processes.adopt(container))) {
        // The cell ended between making the container and starting all that runs in it: it is begun anew.
        this.#stopping.abort();
        return { kind: 'stopped' };
      }
      this.#log.info('took over a running instance');
      const held = await this.#context.credentials.read(container.handle);
      if (held) this.#keepRenewed(container, held.expiresAt);
      else this.#keepRenewed(container, 0);
      return this.#supervise(true);
    });
  }

  /** Begins to stop it; `run` or `adopt` resolves when it is gone. */
  stop(): void {
    if (this.#stopping.signal.aborted || this.#state === 'ending' || this.#state === 'finished') return;
    this.#cellLine(`Cell ${this.#context.cellId} stopping instance ${this.instanceGuid}`);
    this.#stopping.abort();
  }

  /** Says again that it runs, for a registry that does not know it; stops it when somebody else has the work. */
  async reportRunning(): Promise<void> {
    if (this.#state !== 'running') return;
    if ((await this.#reports.start()) === 'refused') this.#lost.abort();
  }

  /** When its certificate ends (milliseconds); null while it has none. */
  get credentialsExpireAt(): number | null {
    return this.#renewal?.expiresAt ?? null;
  }

  /** New credentials now, for a certificate authority that changed. */
  async renewCredentials(): Promise<void> {
    await this.#renewal?.now();
  }

  async setEgressRules(rules: DesiredLrp['egressRules']): Promise<void> {
    this.#desired.egressRules = rules; // for a container that is still being made
    await this.#container?.setEgressRules(rules);
  }

  /** What its owner is called; another object after each change. */
  get names(): LogNames | undefined {
    return this.#desired.owner;
  }

  /** Its lines and metrics carry these names from now on, also for the next cell process; the environment stays. */
  async rename({ appName, spaceName, organizationName }: LogNames): Promise<void> {
    const { owner } = this.#desired;
    if (!owner) return;
    const same = owner.appName === appName && owner.spaceName === spaceName;
    if (same && owner.organizationName === organizationName) return;
    this.#desired.owner = { ...owner, appName, spaceName, organizationName };
    for (const origin of Object.values(this.#origins)) renameOrigin(origin, this.#desired.owner);
    this.#processes.rename(this.#desired.owner);
    if (this.#container) await this.#keepProperties(this.#container);
  }

  /** For a session of `cf ssh`; null while the app is not in its container. */
  sshTarget(): SshTarget | null {
    if (!this.#container || (this.#state !== 'starting' && this.#state !== 'running')) return null;
    return {
      container: this.#container,
      environment: this.#processes.environment(this.#container),
      over: this.#over.signal,
    };
  }

  /** Null while there is no container. */
  async stats(): Promise<InstanceStats | null> {
    const usage = await this.#meter?.look();
    if (!usage) return null;
    const { instanceGuid, index } = this;
    const now = this.#context.now();
    const logRate = this.#rateLimit.rate(now);
    return instanceStats({ instanceGuid, index, usage, logRate, uptimeMs: now - this.#startedAt });
  }

  /** Sends what the instance uses to the log cache. */
  async emitMetrics(): Promise<void> {
    const stats = await this.stats();
    if (stats) this.#context.logs.gauge(this.#processes.appOrigin, instanceGauges(stats, this.#desired));
  }

  /** The cell process ends: the container stays, what watches it goes. */
  detach(): void {
    this.#renewal?.stop();
    this.#detached.abort();
  }

  async #live(life: () => Promise<Ending>): Promise<void> {
    let ending: Ending;
    try {
      ending = await life();
    } catch (error) {
      if (this.#stopping.signal.aborted) {
        ending = { kind: 'stopped' };
      } else if (this.#lost.signal.aborted) {
        ending = { kind: 'lost' };
      } else {
        this.#log.error('an instance could not be started', { error: messageOf(error), cause: error });
        ending = { kind: 'crashed', reason: startFailure(error) };
      }
    }
    if (this.#detached.signal.aborted) return;
    this.#state = 'ending';
    this.#over.abort();
    this.#renewal?.stop();
    try {
      await this.#end(ending);
    } catch (error) {
      // The reconciler finds the container and tries again.
      this.#log.warn('an instance did not end as it should', { error: messageOf(error) });
      this.#context.capacity.release(this.instanceGuid);
    }
    this.#state = 'finished';
  }

  async #bringUp(): Promise<void> {
    const { garden, cellId } = this.#context;
    const desired = this.#desired;
    this.#state = 'creating';
    using start = blockSignal(this.#stopping.signal, this.#detached.signal);
    const [, runnable] = await Promise.all([
      this.#claim(),
      prepareRunnable(this.#context, this.instanceGuid, desired, {
        signal: start.signal,
        say: (text) => this.#cellLine(text),
      }),
    ]);
    this.#checkpoint();
    this.#cellLine(`Cell ${cellId} creating container for instance ${this.instanceGuid}`);
    const { egressRules: rules, owner } = desired;
    const container = await this.#context.creating(() =>
      garden.create({
        handle: this.instanceGuid,
        ...containerOf(runnable),
        limits: containerLimits(desired.memoryMb, desired.diskMb),
        egressRules: rules,
        properties: lrpProperties(desired, this.index, this.instanceGuid),
      }),
    );
    this.#have(container);
    this.#cellLine(`Cell ${cellId} successfully created container for instance ${this.instanceGuid}`);
    // Changed while the container was being made.
    if (desired.egressRules !== rules) await container.setEgressRules(desired.egressRules);
    if (desired.owner !== owner) await this.#keepProperties(container);
    await giveIdentity(this.#context, container, desired.owner);
    this.#checkpoint();
    this.#keepRenewed(container, this.#context.now() + VALIDITY_MS);
    this.#startedAt = this.#context.now();
    await this.#processes.start(container, runnable);
  }

  #have(container: Container): void {
    this.#container = container;
    this.#meter = new UsageMeter(container, this.#context.now);
    this.#reports.address = container.address;
  }

  async #keepProperties(container: Container): Promise<void> {
    try {
      await container.setProperties(desiredProperties(this.#desired));
    } catch (error) {
      // It is being taken away, or the disk is full: the next cell process is told the names by the registry.
      this.#log.warn('an instance keeps its old names beside its container', { error: messageOf(error) });
    }
  }

  /** Between the steps of coming up: goes no further when it was stopped or the cell process ends. */
  #checkpoint(): void {
    this.#stopping.signal.throwIfAborted();
    this.#detached.signal.throwIfAborted();
  }

  async #claim(): Promise<void> {
    if ((await this.#reports.claim(this.#stopping.signal)) === 'refused') {
      this.#lost.abort();
      throw new CupolaError('lrp_lost', 'the registry gave the instance to somebody else');
    }
  }

  /** Watches until something ends it: a process, the health check, an order. */
  async #supervise(adopted: boolean): Promise<Ending> {
    this.#state = 'starting';
    this.#detached.signal.throwIfAborted();
    const over = new AbortController();
    const { signal } = linkSignals(over.signal, this.#stopping.signal, this.#lost.signal, this.#detached.signal);
    const ordered = new Promise<Ending>((resolve) => {
      onAbort(this.#stopping.signal, () => resolve({ kind: 'stopped' }));
      onAbort(this.#lost.signal, () => resolve({ kind: 'lost' }));
    });
    try {
      return await Promise.race([ordered, this.#processes.watch(), this.#watchHealth(signal, adopted)]);
    } finally {
      over.abort();
    }
  }

  /** Resolves when the instance is unwell; never, while it is well or when `signal` aborts. */
  async #watchHealth(signal: AbortSignal, adopted: boolean): Promise<Ending> {
    const container = this.#container!;
    const health = new InstanceHealth(this.#desired, container.address, this.#port, (...said) => this.#line(...said));
    try {
      const neverWell = await health.untilWell(signal, adopted);
      if (neverWell) return neverWell;
      await this.#register(container);
      this.#reports.routable = await health.isReady(signal);
      if ((await this.#reports.start(signal)) === 'refused') return { kind: 'lost' };
      signal.throwIfAborted();
      this.#state = 'running';
      void this.#watchReadiness(health, signal);
      return await health.untilUnwell(signal);
    } catch (error) {
      if (signal.aborted) return new Promise(() => {}); // the race is decided
      throw error;
    }
  }

  /** Takes it out of the routes while it is not ready, and puts it back; ends with `signal`. */
  async #watchReadiness(health: InstanceHealth, signal: AbortSignal): Promise<void> {
    const watching = health.watchReadiness(this.#reports.routable, signal, async (ready) => {
      this.#reports.routable = ready;
      if ((await this.#reports.start(signal)) === 'refused') this.#lost.abort();
    });
    await watching.catch((error: unknown) => {
      if (!signal.aborted) this.#log.error('readiness is no longer watched', { error: messageOf(error) });
    });
  }

  async #register(container: Container): Promise<void> {
    if (this.#desired.ports.length === 0) return;
    const identity =
      (await this.#context.credentials.read(container.handle)) ??
      (await giveIdentity(this.#context, container, this.#desired.owner));
    await this.#context.proxy.register({
      instanceGuid: this.instanceGuid,
      certificate: identity.cert,
      key: identity.key,
      address: container.address,
      port: this.#port,
    });
  }

  /** New certificate and key in the container and in the proxy, some hours before the old expire. */
  #keepRenewed(container: Container, expiresAt: number): void {
    this.#renewal = keepRenewed({
      expiresAt,
      now: this.#context.now,
      renew: async () => {
        const identity = await giveIdentity(this.#context, container, this.#desired.owner);
        if (this.#state === 'running' && this.#desired.ports.length > 0) {
          await this.#context.proxy.rotate(this.instanceGuid, identity.cert, identity.key);
        }
        return identity;
      },
      failed: (error) => this.#log.error('instance credentials were not renewed', { error: messageOf(error) }),
    });
  }

  async #end(ending: Ending): Promise<void> {
    const reported = this.#reports.end(ending);
    reported.catch(() => {}); // awaited below; the container goes first
    if (this.#container) {
      if (ending.kind === 'stopped') {
        // The router hears of it before the app does; not for long if the registry is away.
        await Promise.race([reported.catch(() => {}), delay(2_000, undefined, { ref: false })]);
        await delay(this.#processes.started ? this.#context.timing.drainMs : 0);
      }
      await this.#context.proxy
        .unregister(this.instanceGuid)
        .catch((error: unknown) => this.#log.warn('the proxy kept a registration', { error: messageOf(error) }));
      if (ending.kind !== 'crashed') await this.#processes.end(this.#context.timing.graceMs);
      await this.#processes.finish();
    }
    await this.#remove();
    this.#context.capacity.release(this.instanceGuid);
    await reported;
  }

  async #remove(): Promise<void> {
    const { cellId, garden, credentials } = this.#context;
    if (this.#container) this.#cellLine(`Cell ${cellId} destroying container for instance ${this.instanceGuid}`);
    await garden.destroy(this.instanceGuid);
    if (this.#container) {
      this.#cellLine(`Cell ${cellId} successfully destroyed container for instance ${this.instanceGuid}`);
    }
    this.#processes.forget();
    await credentials.remove(this.instanceGuid);
  }

  get #port(): number {
    return this.#desired.ports[0] ?? 8080;
  }

  #cellLine(text: string): void {
    this.#line('CELL', text);
  }

  #line(source: 'CELL' | 'HEALTH', text: string, stderr = false): void {
    this.#context.logs.line(this.#origins[source], text, stderr);
  }
}
