import { setTimeout as pause } from 'node:timers/promises';
import { isAlive, isSame, type ProcessIdentity, terminate } from '../../kit/process.ts';
import type { RecordedProcess } from '../processes.ts';
import type { Component } from './component.ts';

/** One that ran for this long had started well: its death is an accident, and it is started again at once. */
const QUIET_MS = 5_000;
const SLOWEST_RESTART_MS = 5_000;

/** Keeps one component running: adopts it, starts it when it is gone, slower each time it dies soon (the part monit plays; HLT-03). */
export class Supervised {
  readonly component: Component;
  /** Processes that were replaced and finish what they have. */
  readonly leaving: ProcessIdentity[] = [];
  /** Since the platform was brought up, by whichever supervisor. */
  restarts: number;
  #identity: ProcessIdentity | null;
  #startedAt = 0;
  #quickDeaths = 0;
  #notBefore = 0;
  #starting = false;
  #fingerprint: string | undefined;
  /** What was written down of it is not believed before it was looked for. */
  #found = false;

  constructor(component: Component, adopted: RecordedProcess | null, restarts = 0) {
    this.component = component;
    this.restarts = restarts;
    this.#identity = adopted && isAlive(adopted) ? adopted : null;
    this.#startedAt = this.#identity ? Date.now() : 0;
    this.#fingerprint = adopted?.fingerprint;
  }

  get identity(): ProcessIdentity | null {
    return this.#identity && isAlive(this.#identity) ? this.#identity : null;
  }

  get state(): 'running' | 'starting' | 'stopped' {
    if (this.#starting) return 'starting';
    return this.identity ? 'running' : 'stopped';
  }

  /** It runs, and is not what it would be started as now. */
  get outdated(): boolean {
    return this.identity !== null && this.#fingerprint !== this.component.fingerprint();
  }

  /** What to write down of it. */
  get note(): RecordedProcess | null {
    const { identity } = this;
    return identity && { ...identity, ...(this.#fingerprint === undefined ? {} : { fingerprint: this.#fingerprint }) };
  }

  /** Starts the component if it is gone and it is time. True when another process than before runs. */
  async tend(): Promise<boolean> {
    if (this.#starting || (this.#found && this.identity) || Date.now() < this.#notBefore) return false;
    const again = this.#startedAt > 0;
    this.#starting = true;
    try {
      const former = this.identity;
      await this.#find();
      if (this.identity) return former === null || !isSame(former, this.identity);
      if (again) {
        this.#quickDeaths = Date.now() - this.#startedAt < QUIET_MS ? this.#quickDeaths + 1 : 0;
        this.restarts += 1;
      }
      this.#startedAt = Date.now();
      this.#notBefore = Date.now() + Math.min(SLOWEST_RESTART_MS, 100 * 2 ** this.#quickDeaths);
      this.#fingerprint = this.component.fingerprint();
      this.#identity = await this.component.start();
      if (this.component.isBehind?.()) this.#fingerprint = undefined;
      return true;
    } finally {
      this.#starting = false;
    }
  }

  /** Puts a process as of now in the place of the one that runs. When that fails, the old one goes on or is started anew. */
  async replace(graceMs: number): Promise<void> {
    await this.#idle();
    const { identity, component } = this;
    if (!identity) return;
    this.#starting = true;
    try {
      const fingerprint = component.fingerprint();
      if (component.takeOver) {
        await this.#succeed(identity, component.takeOver(identity));
      } else {
        await terminate(identity, graceMs, component.stopSignal);
        this.#identity = null;
        this.#identity = await component.start();
      }
      this.#startedAt = Date.now();
      // Until then another supervisor would have to see to it.
      this.#fingerprint = component.settle ? undefined : fingerprint;
    } finally {
      this.#starting = false;
    }
  }

  /** What was replaced is well: from here on it is as it should be. */
  async settle(): Promise<void> {
    const { component } = this;
    if (!component.settle) return;
    await component.settle();
    this.#fingerprint = component.fingerprint();
  }

  /** Brings back what there was before the last `replace`, where the component can. */
  async goBack(): Promise<void> {
    await this.#idle();
    const { component } = this;
    if (!component.goBack) return;
    this.#starting = true;
    try {
      this.#identity = await component.goBack();
      this.#startedAt = Date.now();
      this.#fingerprint = undefined;
    } finally {
      this.#starting = false;
    }
  }

  /** New certificates for what runs; true where it takes any and runs. Throws what kept it from taking them. */
  async renew(): Promise<boolean> {
    await this.#idle();
    const { identity, component } = this;
    if (!component.renew || !identity) return false;
    this.#starting = true;
    try {
      await this.#succeed(identity, component.renew(identity));
      return true;
    } finally {
      this.#starting = false;
    }
  }

  /** Resolves when nothing else starts or replaces it. */
  async #idle(): Promise<void> {
    while (this.#starting) await pause(20);
  }

  /** What a take-over gives. One that fails may have cost the former process its sockets: then it is started anew. */
  async #succeed(former: ProcessIdentity, taking: Promise<ProcessIdentity>): Promise<void> {
    try {
      const next = await taking;
      if (next.pid !== former.pid) this.#leave(former);
      this.#identity = next;
    } catch (error) {
      await this.#find();
      throw error;
    }
  }

  async #find(): Promise<void> {
    const { identity, component } = this;
    // What was adopted may be in the middle of its start.
    const settled = identity && this.#found ? [identity, ...this.leaving] : this.leaving;
    const found = await component.find?.(settled);
    this.#found = true;
    if (!found) return;
    const { serving, others } = found;
    if (identity === null || serving === null || !isSame(identity, serving)) {
      this.#identity = serving;
      this.#fingerprint = undefined;
      if (serving) this.#startedAt = Date.now();
    }
    const served = this.leaving.findIndex((one) => serving !== null && isSame(one, serving));
    if (served >= 0) this.leaving.splice(served, 1);
    for (const other of others) this.#leave(other);
  }

  #leave(identity: ProcessIdentity): void {
    if (!this.leaving.some((one) => isSame(one, identity))) this.leaving.push(identity);
  }

  /** Everything that runs of it beside the one that serves: what is written down, and what is not. */
  others(): readonly ProcessIdentity[] {
    const { identity } = this;
    for (const one of this.component.processes?.() ?? []) if (!identity || !isSame(identity, one)) this.#leave(one);
    return this.stillLeaving();
  }

  /** The leaving that are still there. */
  stillLeaving(): readonly ProcessIdentity[] {
    for (const [index, identity] of [...this.leaving.entries()].toReversed()) {
      if (!isAlive(identity)) this.leaving.splice(index, 1);
    }
    return this.leaving;
  }
}
