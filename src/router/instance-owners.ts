import { inTurns } from '../kit/turns.ts';
import type { InstanceOwner } from './process-routes.ts';

/** A removed instance's last log lines come after it is gone from the table. */
const REMEMBER_MS = 600_000;

/** Whose each instance is, also for some time after it is gone. */
export class InstanceOwners {
  readonly #owners = new Map<string, InstanceOwner>();
  /** When an instance went; the first one first. */
  readonly #gone = new Map<string, number>();

  of(instanceGuid: string): InstanceOwner | undefined {
    return this.#owners.get(instanceGuid);
  }

  async update(came: ReadonlyMap<string, InstanceOwner>, went: Iterable<string>, nowMs: number): Promise<void> {
    for (const guid of went) this.#gone.set(guid, nowMs);
    for await (const [guid, owner] of inTurns(came)) {
      this.#owners.set(guid, owner);
      this.#gone.delete(guid);
    }
    for (const [guid, since] of this.#gone) {
      if (nowMs - since <= REMEMBER_MS) break;
      this.#gone.delete(guid);
      this.#owners.delete(guid);
    }
  }

  /** All that there are. */
  async replace(all: ReadonlyMap<string, InstanceOwner>, nowMs: number): Promise<void> {
    const went: string[] = [];
    for await (const guid of inTurns(this.#owners.keys())) if (!all.has(guid) && !this.#gone.has(guid)) went.push(guid);
    await this.update(all, went, nowMs);
  }
}
