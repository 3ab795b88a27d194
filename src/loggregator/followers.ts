/** Clients read four times a second; one that was silent for longer has ended. */
const ACTIVE_MS = 3_000;
/** Of one source; beyond it those that were silent for longest go. */
const MOST = 100;

interface Follower {
  reader: string;
  /** All before it was accepted. */
  position: bigint;
  seenAt: number;
}

/**
 * Who follows the log of a source, and how far. Readers have no name of their own, so a read that goes on from a later
 * timestamp is taken for the follower with the same token and address that was nearest before it.
 */
export class Followers {
  readonly #now: () => number;
  /** In the order of the last read. */
  readonly #sources = new Map<string, Follower[]>();

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  note(sourceId: string, reader: string, position: bigint): void {
    this.#forgetSilent();
    const followers = this.#active(sourceId);
    let nearest: Follower | undefined;
    for (const follower of followers) {
      if (follower.reader !== reader || follower.position > position) continue;
      if (!nearest || follower.position > nearest.position) nearest = follower;
    }
    const others = followers.filter((follower) => follower !== nearest).slice(1 - MOST);
    this.#sources.delete(sourceId);
    this.#sources.set(sourceId, [...others, { reader, position, seenAt: this.#now() }]);
  }

  /** How many have not read past the timestamp. */
  behind(sourceId: string, timestamp: bigint): number {
    return this.#active(sourceId).filter(({ position }) => position <= timestamp).length;
  }

  #active(sourceId: string): Follower[] {
    const since = this.#now() - ACTIVE_MS;
    return (this.#sources.get(sourceId) ?? []).filter(({ seenAt }) => seenAt >= since);
  }

  #forgetSilent(): void {
    const since = this.#now() - ACTIVE_MS;
    for (const [sourceId, followers] of this.#sources) {
      if (followers.at(-1)!.seenAt >= since) break;
      this.#sources.delete(sourceId);
    }
  }
}
