import type { Occupied } from './desired-state.ts';
import type { RouteChange, RouteTable } from './route-table.ts';

/**
 * Slots that had a pool in a table since HAProxy was looked at last: one that starts meanwhile may have read any of these tables, and
 * have the servers that were in it. Nobody else gets such a slot before the next look says that it is empty.
 */
export class SlotsLeft {
  readonly #slots = new Set<number>();

  /** Those and `occupied`. `looked`: which slots have servers has just been asked. */
  andOccupied(occupied: Occupied, looked: boolean): Occupied {
    if (looked) this.#slots.clear();
    return { has: (slot) => occupied.has(slot) || this.#slots.has(slot) };
  }

  note({ pools }: RouteChange): void {
    for (const [slot, pool] of pools) if (pool === null) this.#slots.add(slot);
  }

  /** Another table takes its place. */
  noteTable({ pools }: RouteTable): void {
    for (const { slot } of pools) this.#slots.add(slot);
  }
}
