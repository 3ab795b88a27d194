/** What somebody holds of a room that several share. */
export interface Share {
  /** Gives back all but so much. */
  shrink(amount: number): void;
  /** Gives back the rest; calling it twice does nothing more. */
  release(): void;
}

interface Waiting {
  amount: number;
  enter: () => void;
}

/**
 * Room that several hold at a time, each as much as they need. Who finds too little left waits, and those who wait take turns by
 * owner: who asks for much waits for themselves. Whose turn it is is passed by nobody, so that who needs much comes to it as well.
 * Who holds something gets more only within their part of the room.
 */
export class Shares {
  readonly #total: number;
  readonly #mostPerOwner: number;
  #held = 0;
  readonly #owners = new Map<string, number>();
  /** By owner, and whose turn it is first. */
  readonly #queues = new Map<string, Waiting[]>();

  constructor(total: number, mostPerOwner: number) {
    this.#total = total;
    this.#mostPerOwner = mostPerOwner;
  }

  /** Who needs more than there is gets all of it. */
  async take(owner: string, amount: number): Promise<Share> {
    let own = Math.min(amount, this.#total);
    const { promise, resolve } = Promise.withResolvers<void>();
    const queue = this.#queues.get(owner) ?? [];
    queue.push({ amount: own, enter: resolve });
    this.#queues.set(owner, queue);
    this.#admit();
    await promise;
    const shrink = (to: number): void => {
      const back = Math.max(0, own - to);
      own -= back;
      this.#hold(owner, -back);
      if (back > 0) this.#admit();
    };
    return { shrink, release: () => shrink(0) };
  }

  #admit(): void {
    for (let next = this.#next(); next; next = this.#next()) {
      const [owner, queue, { amount, enter }] = next;
      if (this.#held + amount > this.#total) return;
      queue.shift();
      this.#queues.delete(owner);
      if (queue.length > 0) this.#queues.set(owner, queue);
      this.#hold(owner, amount);
      enter();
    }
  }

  /** Whose turn it is, of those who have not their part yet. */
  #next(): [string, Waiting[], Waiting] | null {
    for (const [owner, queue] of this.#queues) {
      const held = this.#owners.get(owner) ?? 0;
      const first = queue[0];
      if (first && (held === 0 || held + first.amount <= this.#mostPerOwner)) return [owner, queue, first];
    }
    return null;
  }

  #hold(owner: string, more: number): void {
    this.#held += more;
    const held = (this.#owners.get(owner) ?? 0) + more;
    if (held === 0) this.#owners.delete(owner);
    else this.#owners.set(owner, held);
  }
}
