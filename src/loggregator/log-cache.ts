import type { ReadEnvelope } from '../contracts/envelope-wire.ts';
import { type Arrival, type Entry, type Range, SourceLog } from './source-log.ts';

export interface LogCacheLimits {
  /** Envelopes kept of one source; Cloud Foundry's ceiling is 100,000. */
  envelopesPerSource: number;
  /** Memory of all sources together. */
  totalBytes: number;
  /** Memory of one source: one that floods does not push the others out. */
  bytesPerSource: number;
}

export const DEFAULT_LIMITS: LogCacheLimits = {
  envelopesPerSource: 10_000,
  totalBytes: 96 * 1_048_576,
  bytesPerSource: 12 * 1_048_576,
};

export interface SourceMeta {
  count: number;
  expired: number;
  oldest: bigint;
  newest: bigint;
}

/** Timestamps further ahead than this are mistaken: they would hide everything after them from who follows the log. */
const MOST_AHEAD_NS = 60_000_000_000n;

/** Whose a source is: its organization, or the platform. What one writes pushes out nobody else's. */
interface Owned {
  log: SourceLog;
  owner: string;
}

/** The last envelopes of every source, in memory (LOG-01). */
export class LogCache {
  readonly #limits: LogCacheLimits;
  readonly #nowNs: () => bigint;
  /** In the order of the last write: the first is the least recent. */
  readonly #sources = new Map<string, Owned>();
  readonly #owners = new Map<string, number>();
  #bytes = 0;

  constructor(limits: LogCacheLimits, nowNs: () => bigint) {
    this.#limits = limits;
    this.#nowNs = nowNs;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Keeps a batch. Envelopes without source or message are nobody's and are left out. */
  put(batch: readonly ReadEnvelope[]): void {
    const now = this.#nowNs();
    const touched = new Map<string, Owned>();
    for (const envelope of batch) {
      const arrival = arrivalOf(envelope, now);
      if (!arrival || envelope.sourceId === '') continue;
      const source = touched.get(envelope.sourceId) ?? this.#touch(envelope);
      touched.set(envelope.sourceId, source);
      const before = source.log.bytes;
      source.log.insert(arrival);
      this.#count(source, source.log.bytes - before);
      if (source.log.count > this.#limits.envelopesPerSource) this.#drop(source, 1);
    }
    for (const source of touched.values()) {
      while (source.log.bytes > this.#limits.bytesPerSource) this.#drop(source, Math.ceil(source.log.count / 16));
    }
    while (this.#bytes > this.#limits.totalBytes) this.#evict();
  }

  read(sourceId: string, range: Range): Entry[] {
    return this.#sources.get(sourceId)?.log.read(range) ?? [];
  }

  /** When the newest line of this type is from; null where there is none. */
  newestOf(sourceId: string, sourceType: string): bigint | null {
    const select = (entry: Entry) => (entry.kind === 'LOG' && entry.tags['source_type'] === sourceType ? entry : null);
    return (
      this.read(sourceId, { start: 0n, end: null, limit: 1, maxBytes: 0, descending: true, select })[0]?.timestamp ??
      null
    );
  }

  *meta(): Iterable<[sourceId: string, meta: SourceMeta]> {
    for (const [sourceId, { log }] of this.#sources) {
      const { count, expired, oldest, newest } = log;
      yield [sourceId, { count, expired, oldest, newest }];
    }
  }

  #touch({ sourceId, tags }: ReadEnvelope): Owned {
    const source = this.#sources.get(sourceId) ?? { log: new SourceLog(), owner: tags['organization_id'] ?? '' };
    this.#sources.delete(sourceId);
    this.#sources.set(sourceId, source);
    return source;
  }

  #count({ owner }: Owned, bytes: number): void {
    this.#bytes += bytes;
    const own = (this.#owners.get(owner) ?? 0) + bytes;
    if (own > 0) this.#owners.set(owner, own);
    else this.#owners.delete(owner);
  }

  #drop(source: Owned, count: number): void {
    this.#count(source, -source.log.dropOldest(count));
  }

  /**
   * Of the owner who has most, takes the older half of the source that was silent for longest, and the source with its last
   * envelope.
   */
  #evict(): void {
    let most = '';
    for (const [owner, bytes] of this.#owners) if (bytes > (this.#owners.get(most) ?? 0)) most = owner;
    for (const [sourceId, source] of this.#sources) {
      if (source.owner !== most) continue;
      this.#drop(source, Math.ceil(source.log.count / 2));
      if (source.log.count === 0) this.#sources.delete(sourceId);
      return;
    }
  }
}

function arrivalOf({ timestampNs, instanceId, tags, message }: ReadEnvelope, now: bigint): Arrival | null {
  const timestamp = timestampNs <= 0n || timestampNs > now + MOST_AHEAD_NS ? now : timestampNs;
  switch (message.case) {
    case 'log': {
      const { stderr, bytes, start, end } = message;
      return { timestamp, instanceId, tags, kind: 'LOG', stderr, bytes, start, end };
    }
    case 'gauge': {
      const metrics = Object.entries(message.metrics).map(([name, { unit, value }]) => [name, { unit, value }]);
      const bytes = Buffer.from(JSON.stringify(Object.fromEntries(metrics)));
      return { timestamp, instanceId, tags, kind: 'GAUGE', stderr: false, bytes, start: 0, end: bytes.length };
    }
    default:
      return null;
  }
}
