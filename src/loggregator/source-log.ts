/** A log line or a set of gauges as it is kept: ready to be served. */
export type Entry = LogEntry | GaugeEntry;
interface EntryHead {
  /** Nanoseconds since 1970, unique in its source. */
  timestamp: bigint;
  /** What it was sent with. */
  original: bigint;
  instanceId: string;
  tags: Readonly<Record<string, string>>;
}
export interface LogEntry extends EntryHead {
  kind: 'LOG';
  /** Base64: half the memory of a buffer of its own, and the form it is served in. */
  payload: string;
  stderr: boolean;
}
export interface GaugeEntry extends EntryHead {
  kind: 'GAUGE';
  metrics: Readonly<Record<string, { unit: string; value: number }>>;
}

export interface Range {
  /** Inclusive. */
  start: bigint;
  /** Exclusive; null: to the end. */
  end: bigint | null;
  limit: number;
  /** Bytes at most, as `bytesOf` counts; the first that is found is given whatever it has. */
  maxBytes: number;
  descending: boolean;
  /** What to give of an entry: itself, a part of it, or null to leave it out. */
  select: (entry: Entry) => Entry | null;
}

/** What an entry costs beside its text: objects, strings, a place in the array. */
const ENTRY_OVERHEAD_BYTES = 200;

/** Stands where an entry was until the array is cut, so that nothing is held that is not counted. */
const GONE: Entry = { kind: 'LOG', timestamp: 0n, original: 0n, instanceId: '', tags: {}, payload: '', stderr: false };

/**
 * The entries of one source in the order of their timestamps. Readers go on from "last timestamp + 1", so two entries
 * never share one: a line that comes with a taken timestamp moves on by nanoseconds. Late lines are put where they
 * belong. A line that is sent again (the seam of a batch that was not answered) is recognised and dropped.
 */
export class SourceLog {
  /** Ascending. Those before `#first` are gone. */
  #entries: Entry[] = [];
  #first = 0;
  #tagsSeen = new Map<string, Readonly<Record<string, string>>>();
  bytes = 0;
  /** How many entries went to make room. */
  expired = 0;

  get count(): number {
    return this.#entries.length - this.#first;
  }
  get oldest(): bigint {
    return this.#entries[this.#first]?.timestamp ?? 0n;
  }
  get newest(): bigint {
    return this.#entries.at(-1)?.timestamp ?? 0n;
  }

  /** Gives false for what was there already. */
  insert(entry: Entry): boolean {
    const newest = this.#entries.at(-1);
    if (!newest || entry.timestamp > newest.timestamp) {
      this.#keep(entry);
      this.#entries.push(entry);
      return true;
    }
    let position = this.#positionOf(entry.timestamp);
    for (let taken = this.#entries[position]; taken?.timestamp === entry.timestamp; ) {
      if (sameEntry(taken, entry)) return false;
      entry.timestamp += 1n;
      position += 1;
      taken = this.#entries[position];
    }
    this.#keep(entry);
    this.#entries.splice(position, 0, entry);
    return true;
  }

  /** Drops the oldest entries; gives the bytes that became free. */
  dropOldest(count: number): number {
    const end = Math.min(this.#first + count, this.#entries.length);
    let freed = 0;
    for (let i = this.#first; i < end; i += 1) {
      freed += bytesOf(this.#entries[i]!);
      this.#entries[i] = GONE;
    }
    this.expired += end - this.#first;
    this.bytes -= freed;
    this.#first = end;
    if (end === this.#entries.length) this.#entries = [];
    else if (end * 2 > this.#entries.length) this.#entries = this.#entries.slice(end);
    else return freed;
    this.#first = 0;
    return freed;
  }

  read(range: Range): Entry[] {
    const from = this.#positionOf(range.start);
    const to = range.end === null ? this.#entries.length : this.#positionOf(range.end);
    const found: Entry[] = [];
    let bytes = 0;
    for (let n = 0; n < to - from && found.length < range.limit; n += 1) {
      const entry = range.select(this.#entries[range.descending ? to - 1 - n : from + n]!);
      if (!entry) continue;
      bytes += bytesOf(entry);
      if (bytes > range.maxBytes && found.length > 0) break;
      found.push(entry);
    }
    return found;
  }

  #keep(entry: Entry): void {
    entry.tags = this.#shared(entry);
    this.bytes += bytesOf(entry);
  }

  /** Lines of one instance carry the same tags: they share one object. */
  #shared({ instanceId, tags }: Entry): Readonly<Record<string, string>> {
    const key = `${instanceId}/${tags['source_type'] ?? ''}/${tags['process_type'] ?? ''}`;
    const seen = this.#tagsSeen.get(key);
    if (seen && sameTags(seen, tags)) return seen;
    if (this.#tagsSeen.size >= 256) this.#tagsSeen.clear();
    this.#tagsSeen.set(key, tags);
    return tags;
  }

  /** Where the first entry is that is not before the timestamp. */
  #positionOf(timestamp: bigint): number {
    let low = this.#first;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#entries[middle]!.timestamp < timestamp) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

export function bytesOf(entry: Entry): number {
  if (entry.kind === 'LOG') return ENTRY_OVERHEAD_BYTES + entry.payload.length;
  return Object.keys(entry.metrics).reduce((sum, name) => sum + name.length + 100, ENTRY_OVERHEAD_BYTES);
}

function sameEntry(a: Entry, b: Entry): boolean {
  if (a.original !== b.original || a.instanceId !== b.instanceId || a.kind !== b.kind) return false;
  if (a.kind === 'LOG' && b.kind === 'LOG') return a.payload === b.payload && a.stderr === b.stderr;
  return a.kind === 'GAUGE' && b.kind === 'GAUGE' && JSON.stringify(a.metrics) === JSON.stringify(b.metrics);
}

function sameTags(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  if (a === b) return true;
  let left = 0;
  for (const name in a) {
    if (a[name] !== b[name]) return false;
    left += 1;
  }
  for (const _ in b) left -= 1;
  return left === 0;
}
