import type { Readable } from 'node:stream';

/** Of what clients may have sent and nobody taken, what is one user's at most. */
const SHARE = 0.3;

/** The channels of one connection, and what ends it. */
export interface Sender {
  userGuid: string;
  channels: ReadonlySet<Pick<Readable, 'readableLength'>>;
  end: () => void;
}

/**
 * What clients sent and no process took yet. A session's window bounds its own, but they may be many: past a user's share, or past the
 * whole, the connection that has most of it ends.
 */
export class Unread {
  readonly #total: number;
  readonly #senders = new Map<Sender, number>();
  readonly #users = new Map<string, number>();
  #all = 0;

  constructor(total: number) {
    this.#total = total;
  }

  /** To be called whenever it may have changed. */
  count(sender: Sender): void {
    let now = 0;
    for (const { readableLength } of sender.channels) now += readableLength;
    this.#set(sender, now);
    const own = this.#users.get(sender.userGuid) ?? 0;
    if (own > this.#total * SHARE) this.#endLargest((other) => other.userGuid === sender.userGuid);
    else if (this.#all > this.#total) this.#endLargest(() => true);
  }

  /** It is gone. */
  leave(sender: Sender): void {
    this.#set(sender, 0);
  }

  #set(sender: Sender, now: number): void {
    const more = now - (this.#senders.get(sender) ?? 0);
    const own = (this.#users.get(sender.userGuid) ?? 0) + more;
    this.#all += more;
    if (now > 0) this.#senders.set(sender, now);
    else this.#senders.delete(sender);
    if (own > 0) this.#users.set(sender.userGuid, own);
    else this.#users.delete(sender.userGuid);
  }

  #endLargest(among: (sender: Sender) => boolean): void {
    let most: Sender | null = null;
    for (const [sender, bytes] of this.#senders) {
      if (among(sender) && bytes > (most ? (this.#senders.get(most) ?? 0) : 0)) most = sender;
    }
    if (!most) return;
    this.leave(most);
    most.end();
  }
}
