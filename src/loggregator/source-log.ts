import { type Piece, Pieces } from './pieces.ts';

/** A log line or a set of gauges, ready to be served. */
export type Entry = LogEntry | GaugeEntry;
interface EntryHead {
  /** Nanoseconds since 1970, unique in its source. */
  timestamp: bigint;
  instanceId: string;
  tags: Readonly<Record<string, string>>;
}
export interface LogEntry extends EntryHead {
  kind: 'LOG';
  /** Base64, the form it is served in. */
  payload: string;
  stderr: boolean;
}
export interface GaugeEntry extends EntryHead {
  kind: 'GAUGE';
  metrics: Readonly<Record<string, { unit: string; value: number }>>;
}

/** One that comes: its text, or its metrics as JSON, in memory that is somebody else's. */
export interface Arrival {
  timestamp: bigint;
  instanceId: string;
  tags: Readonly<Record<string, string>>;
  kind: Entry['kind'];
  stderr: boolean;
  bytes: Buffer;
  start: number;
  end: number;
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
  /** What to give of an entry: itself, a part of it, or null to leave it out. What it does not look at is not read. */
  select: (entry: Entry) => Entry | null;
}

/** What an entry costs beside its text while it is served: objects, strings, a place in the array. Kept, it takes less than half. */
const ENTRY_OVERHEAD_BYTES = 200;

/** Lines of one instance carry the same tags. */
type Origin = Pick<Arrival, 'instanceId' | 'tags'>;
const NOBODY: Origin = { instanceId: '', tags: {} };
/** Stands where an entry was until the arrays are cut, so that nothing is held that is not counted. */
const NOWHERE: Piece = { bytes: Buffer.alloc(0), used: 0, lines: 0 };

/** Of each entry four numbers: where its bytes begin, how many they are, by how much its timestamp moved on, what it is. */
const NUMBERS = 4;
const [START, LENGTH, MOVED, WHAT] = [0, 1, 2, 3];
const GAUGE = 1;
const STDERR = 2;
const FEW = 16;

/**
 * The entries of one source in the order of their timestamps. Readers go on from "last timestamp + 1", so two entries
 * never share one: a line that comes with a taken timestamp moves on by nanoseconds. Late lines are put where they
 * belong. A line that is sent again (the seam of a batch that was not answered) is recognised and dropped.
 */
export class SourceLog {
  /** Ascending. Those before `#first` are gone, those from `#end` on are not there yet; here and below. */
  #times = new BigInt64Array(FEW);
  #numbers = new Uint32Array(FEW * NUMBERS);
  #origins: Origin[] = [];
  #places: Piece[] = [];
  #first = 0;
  #end = 0;
  #newest = 0n;
  readonly #pieces = new Pieces();
  #lastOrigin = NOBODY;
  readonly #originsSeen = new Map<string, Origin>();
  bytes = 0;
  /** How many entries went to make room. */
  expired = 0;

  get count(): number {
    return this.#end - this.#first;
  }
  get oldest(): bigint {
    return this.count === 0 ? 0n : this.#times[this.#first]!;
  }
  get newest(): bigint {
    return this.count === 0 ? 0n : this.#newest;
  }

  /** Gives false for what was there already. */
  insert(arrival: Arrival): boolean {
    let { timestamp } = arrival;
    let position = this.#end;
    if (this.count > 0 && timestamp <= this.#newest) {
      position = this.#positionOf(timestamp);
      while (position < this.#end && this.#times[position] === timestamp) {
        if (this.#isSame(position, arrival)) return false;
        timestamp += 1n;
        position += 1;
      }
    }
    this.#makePlace(position);
    this.#keep(position, timestamp, arrival);
    return true;
  }

  /** Drops the oldest entries; gives the bytes that became free. */
  dropOldest(count: number): number {
    const end = Math.min(this.#first + count, this.#end);
    let freed = 0;
    for (let i = this.#first; i < end; i += 1) {
      freed += costOf(this.#numbers[i * NUMBERS + LENGTH]!);
      this.#pieces.release(this.#places[i]!);
      this.#places[i] = NOWHERE;
      this.#origins[i] = NOBODY;
    }
    this.expired += end - this.#first;
    this.bytes -= freed;
    this.#first = end;
    if (end * 2 > this.#end) this.#cut();
    return freed;
  }

  read(range: Range): Entry[] {
    const from = this.#positionOf(range.start);
    const to = range.end === null ? this.#end : this.#positionOf(range.end);
    const found: Entry[] = [];
    let bytes = 0;
    for (let n = 0; n < to - from && found.length < range.limit; n += 1) {
      const selected = range.select(this.#entryAt(range.descending ? to - 1 - n : from + n));
      if (!selected) continue;
      const entry = { ...selected }; // its bytes may be another's later
      bytes += bytesOf(entry);
      if (bytes > range.maxBytes && found.length > 0) break;
      found.push(entry);
    }
    return found;
  }

  /** Its text, or its metrics, are read when they are looked at. */
  #entryAt(position: number): Entry {
    const at = position * NUMBERS;
    const what = this.#numbers[at + WHAT]!;
    const { bytes } = this.#places[position]!;
    const start = this.#numbers[at + START]!;
    const end = start + this.#numbers[at + LENGTH]!;
    const { instanceId, tags } = this.#origins[position]!;
    const timestamp = this.#times[position]!;
    if (what === GAUGE) {
      const metrics: GaugeEntry['metrics'] = JSON.parse(bytes.toString('utf8', start, end));
      return { kind: 'GAUGE', timestamp, instanceId, tags, metrics };
    }
    return {
      kind: 'LOG',
      timestamp,
      instanceId,
      tags,
      get payload() {
        return bytes.toString('base64', start, end);
      },
      stderr: what === STDERR,
    };
  }

  /** Moves those behind a position on. */
  #makePlace(position: number): void {
    if (this.#end === this.#times.length) this.#grow();
    if (position < this.#end) {
      this.#times.copyWithin(position + 1, position, this.#end);
      this.#numbers.copyWithin((position + 1) * NUMBERS, position * NUMBERS, this.#end * NUMBERS);
      this.#origins.splice(position, 0, NOBODY);
      this.#places.splice(position, 0, NOWHERE);
    }
    this.#end += 1;
  }

  #keep(position: number, timestamp: bigint, arrival: Arrival): void {
    const { bytes, start, end } = arrival;
    const length = end - start;
    const piece = this.#pieces.roomFor(length);
    bytes.copy(piece.bytes, piece.used, start, end);
    const at = position * NUMBERS;
    this.#times[position] = timestamp;
    this.#numbers[at + START] = piece.used;
    this.#numbers[at + LENGTH] = length;
    this.#numbers[at + MOVED] = timestamp === arrival.timestamp ? 0 : Number(timestamp - arrival.timestamp);
    this.#numbers[at + WHAT] = whatOf(arrival);
    this.#origins[position] = this.#originOf(arrival);
    this.#places[position] = piece;
    piece.used += length;
    if (position === this.#end - 1) this.#newest = timestamp;
    this.bytes += costOf(length);
  }

  #isSame(position: number, arrival: Arrival): boolean {
    const at = position * NUMBERS;
    const { bytes, start, end } = arrival;
    const from = this.#numbers[at + START]!;
    const to = from + this.#numbers[at + LENGTH]!;
    return (
      this.#times[position]! - BigInt(this.#numbers[at + MOVED]!) === arrival.timestamp &&
      this.#numbers[at + WHAT] === whatOf(arrival) &&
      this.#origins[position]!.instanceId === arrival.instanceId &&
      this.#places[position]!.bytes.compare(bytes, start, end, from, to) === 0
    );
  }

  #originOf({ instanceId, tags }: Origin): Origin {
    const last = this.#lastOrigin;
    if (last.tags === tags && last.instanceId === instanceId) return last;
    const key = `${instanceId}/${tags['source_type'] ?? ''}/${tags['process_type'] ?? ''}`;
    const seen = this.#originsSeen.get(key);
    if (seen && sameTags(seen.tags, tags)) return seen;
    if (this.#originsSeen.size >= 256) this.#originsSeen.clear();
    this.#lastOrigin = { instanceId, tags };
    this.#originsSeen.set(key, this.#lastOrigin);
    return this.#lastOrigin;
  }

  #grow(): void {
    const times = new BigInt64Array(this.#times.length * 2);
    const numbers = new Uint32Array(this.#numbers.length * 2);
    times.set(this.#times);
    numbers.set(this.#numbers);
    this.#times = times;
    this.#numbers = numbers;
  }

  /** Lets the places go of those that are gone, and of memory what is far more than is used. */
  #cut(): void {
    const { count } = this;
    let size = this.#times.length;
    while (size > FEW && size >= 4 * count) size /= 2;
    const [times, numbers] = [this.#times, this.#numbers];
    if (size < times.length) {
      this.#times = new BigInt64Array(size);
      this.#numbers = new Uint32Array(size * NUMBERS);
    }
    this.#times.set(times.subarray(this.#first, this.#end));
    this.#numbers.set(numbers.subarray(this.#first * NUMBERS, this.#end * NUMBERS));
    this.#origins = this.#origins.slice(this.#first);
    this.#places = this.#places.slice(this.#first);
    this.#first = 0;
    this.#end = count;
  }

  /** Where the first entry is that is not before the timestamp. */
  #positionOf(timestamp: bigint): number {
    let low = this.#first;
    let high = this.#end;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#times[middle]! < timestamp) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** As `bytesOf` counts a line with so many bytes. */
function costOf(length: number): number {
  return ENTRY_OVERHEAD_BYTES + 4 * Math.ceil(length / 3);
}

function whatOf({ kind, stderr }: Arrival): number {
  if (kind === 'GAUGE') return GAUGE;
  return stderr ? STDERR : 0;
}

export function bytesOf(entry: Entry): number {
  if (entry.kind === 'LOG') return ENTRY_OVERHEAD_BYTES + entry.payload.length;
  return Object.keys(entry.metrics).reduce((sum, name) => sum + name.length + 100, ENTRY_OVERHEAD_BYTES);
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
