import type { Client } from '@connectrpc/connect';
import type { CellPresence, Rep } from '../contracts/gen/diego_pb.js';

export type RepClient = Client<typeof Rep>;

/** The clients of the cells' reps, one a cell for as long as it keeps its address, so that connections are reused. */
export class Reps {
  readonly #connect: (presence: CellPresence) => RepClient;
  readonly #clients = new Map<string, { url: string; client: RepClient }>();
  readonly #silentUntil = new Map<string, number>();

  constructor(connect: (presence: CellPresence) => RepClient) {
    this.#connect = connect;
  }

  of(presence: CellPresence): RepClient {
    const known = this.#clients.get(presence.cellId);
    if (known?.url === presence.repUrl) return known.client;
    const client = this.#connect(presence);
    this.#clients.set(presence.cellId, { url: presence.repUrl, client });
    return client;
  }

  /** Notes that a cell did not answer: until then auctions do without it and do not wait for it. */
  silent(cellId: string, untilMs: number): void {
    this.#silentUntil.set(cellId, untilMs);
  }

  isSilent(cellId: string, nowMs: number): boolean {
    return (this.#silentUntil.get(cellId) ?? 0) > nowMs;
  }

  forget(cellId: string): void {
    this.#clients.delete(cellId);
    this.#silentUntil.delete(cellId);
  }
}

/** Runs `body` over all items, at most `limit` at a time. `body` must not throw. */
export async function inParallel<Item>(
  items: Iterable<Item>,
  limit: number,
  body: (item: Item) => Promise<void>,
): Promise<void> {
  const iterator = items[Symbol.iterator]();
  const worker = async (): Promise<void> => {
    for (let next = iterator.next(); !next.done; next = iterator.next()) await body(next.value);
  };
  await Promise.all(Array.from({ length: limit }, worker));
}
