import { countOf } from '../kit/faults.ts';
import { Faults } from './admin-messages.ts';
import { askAdmin } from './admin-socket.ts';

const LIMIT_MS = 2_000;

/** Errors that nobody caught, of each process that knows them: those it lives with, and those that its forerunners ended of. */
export class FaultCounts {
  readonly #socketOf: (component: string) => string;
  readonly #ended = new Map<string, number>();
  /** What a process told last: one that does not answer at the moment is not without faults. */
  readonly #told = new Map<string, number>();

  constructor(socketOf: (component: string) => string) {
    this.#socketOf = socketOf;
  }

  /** A process of this component ended of such an error. What it had told ends with it. */
  ended(component: string): void {
    this.#ended.set(component, (this.#ended.get(component) ?? 0) + 1 + (this.#told.get(component) ?? 0));
    this.#told.delete(component);
  }

  async of(components: readonly string[]): Promise<Map<string, number>> {
    const counts = components.map(async (name) => {
      const faults = await askAdmin(this.#socketOf(name), 'GET /faults', { answer: Faults, timeoutMs: LIMIT_MS }).catch(
        () => null,
      );
      if (faults) {
        const told = this.#told.get(name) ?? 0;
        // A process that took over begins at none.
        if (countOf(faults) < told) this.#ended.set(name, (this.#ended.get(name) ?? 0) + told);
        this.#told.set(name, countOf(faults));
      }
      return [name, (this.#ended.get(name) ?? 0) + (this.#told.get(name) ?? 0)] as const;
    });
    return new Map(await Promise.all(counts));
  }
}
