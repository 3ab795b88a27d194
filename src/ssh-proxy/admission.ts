import type { Socket } from 'node:net';
import type { Limits } from './settings.ts';

/** How far a connection came; the further, the more it cost its client. */
export const PROGRESS = { connected: 0, greeted: 1, keysExchanged: 2 } as const;
type Progress = (typeof PROGRESS)[keyof typeof PROGRESS];

/** A connection whose user is not known yet. */
export interface Visitor {
  readonly socket: Pick<Socket, 'destroy'>;
  readonly address: string;
  progress: Progress;
}

/**
 * Keeps room for whoever comes next: nobody is refused, but past the bound the connection that did least, of the address
 * that has most, makes place. A flood drives itself out, and not the one that is just logging in.
 */
export class Admission {
  readonly #limits: Pick<Limits, 'unauthenticated' | 'unauthenticatedPerAddress' | 'loginMs'>;
  /** In the order in which they came. */
  readonly #visitors = new Map<Visitor, NodeJS.Timeout>();
  readonly #perAddress = new Map<string, number>();

  constructor(limits: Pick<Limits, 'unauthenticated' | 'unauthenticatedPerAddress' | 'loginMs'>) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#visitors.size;
  }

  /** It stays until `leave`, until its time is over or until it must make place; then its socket is destroyed. */
  enter(socket: Visitor['socket'], address: string): Visitor {
    const visitor: Visitor = { socket, address, progress: PROGRESS.connected };
    if (this.#count(address) >= this.#limits.unauthenticatedPerAddress) this.#evict(address);
    else if (this.#visitors.size >= this.#limits.unauthenticated) this.#evict(this.#busiest());
    const timer = setTimeout(() => this.#turnOut(visitor), this.#limits.loginMs).unref();
    this.#visitors.set(visitor, timer);
    this.#perAddress.set(address, this.#count(address) + 1);
    return visitor;
  }

  /** It is gone, or its user is known. */
  leave(visitor: Visitor): void {
    const timer = this.#visitors.get(visitor);
    if (timer === undefined) return;
    clearTimeout(timer);
    this.#visitors.delete(visitor);
    const left = this.#count(visitor.address) - 1;
    if (left > 0) this.#perAddress.set(visitor.address, left);
    else this.#perAddress.delete(visitor.address);
  }

  #evict(address: string): void {
    const theirs = [...this.#visitors.keys()].filter((visitor) => visitor.address === address);
    const least = Math.min(...theirs.map(({ progress }) => progress));
    const victim = theirs.find(({ progress }) => progress === least);
    if (victim) this.#turnOut(victim);
  }

  #turnOut(visitor: Visitor): void {
    this.leave(visitor);
    visitor.socket.destroy();
  }

  #busiest(): string {
    let busiest = '';
    for (const [address, count] of this.#perAddress) if (count > this.#count(busiest)) busiest = address;
    return busiest;
  }

  #count(address: string): number {
    return this.#perAddress.get(address) ?? 0;
  }
}
