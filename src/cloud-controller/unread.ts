/**
 * Tells which of the parameters that a request gave the operation never looked at: one that is declared and ignored would
 * show, or change, more than was asked for. Whoever copies what is watched must read it by name.
 */
export class Unread {
  readonly #names = new Set<string>();

  get names(): readonly string[] {
    return [...this.#names];
  }

  map<Value>(entries: ReadonlyMap<string, Value>, parameter = (key: string) => key): ReadonlyMap<string, Value> {
    for (const key of entries.keys()) this.#names.add(parameter(key));
    return new WatchedMap(entries, (key) => this.#names.delete(parameter(key)));
  }

  /** A list that is used as a whole. */
  list<Item>(parameter: string, items: readonly Item[]): Watched<Item> {
    return this.#whole([parameter], items);
  }

  times<Item extends { column: string }>(items: readonly Item[]): Watched<Item> {
    return this.#whole(
      items.map(({ column }) => `${column}s`),
      items,
    );
  }

  value<Value extends { column: string }>(parameter: string, value: Value | null): Value | null {
    if (value === null) return null;
    const { column } = value;
    this.#names.add(parameter);
    return Object.defineProperty({ ...value }, 'column', {
      enumerable: true,
      get: () => {
        this.#names.delete(parameter);
        return column;
      },
    });
  }

  #whole<Item>(parameters: readonly string[], items: readonly Item[]): Watched<Item> {
    if (items.length > 0) for (const parameter of parameters) this.#names.add(parameter);
    const read = () => {
      for (const parameter of parameters) this.#names.delete(parameter);
    };
    return {
      get size() {
        read();
        return items.length;
      },
      *[Symbol.iterator]() {
        read();
        yield* items;
      },
    };
  }
}

export interface Watched<Item> extends Iterable<Item> {
  readonly size: number;
}

class WatchedMap<Value> extends Map<string, Value> {
  readonly #read: (key: string) => void;

  constructor(entries: ReadonlyMap<string, Value>, read: (key: string) => void) {
    super();
    for (const [key, value] of entries) super.set(key, value);
    this.#read = read;
  }

  override get(key: string): Value | undefined {
    this.#read(key);
    return super.get(key);
  }

  override has(key: string): boolean {
    this.#read(key);
    return super.has(key);
  }
}
