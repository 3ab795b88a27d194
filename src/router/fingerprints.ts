import type { Client } from '@connectrpc/connect';
import type { Bbs, RouteEntry, RoutingFingerprint } from '../contracts/gen/diego_pb.js';
import { inTurns } from '../kit/turns.ts';

/** LRPs of a page: what the BBS reads, and this process makes of it, between two turns of others. */
const PAGE = 10_000;

/** What the LRPs whose guids begin alike have come to. */
interface Bucket {
  /** Of all of them, joined by exclusive or. */
  fingerprint: bigint;
  lrps: Map<string, bigint>;
}

/** The fingerprint of each LRP in the state that is known here, by the BBS's own word; and of each bucket of LRPs. */
export class Fingerprints {
  readonly #buckets = new Map<string, Bucket>();

  /** Takes over what the entries of these LRPs say. False where a Diego gave them that does not know of fingerprints. */
  async update(processes: ReadonlyMap<string, readonly RouteEntry[]>): Promise<boolean> {
    for await (const [guid, [entry]] of inTurns(processes)) {
      if (entry && entry.fingerprint === undefined) return false;
      this.#set(guid, entry?.fingerprint);
    }
    return true;
  }

  /**
   * The LRPs that are otherwise at the BBS, new there or gone. What changes meanwhile, here or there, may be among them. Throws what the
   * BBS's answer throws.
   */
  async differing(bbs: Pick<Client<typeof Bbs>, 'routingFingerprints'>, page = PAGE): Promise<Set<string>> {
    const told = new Map<string, { fingerprint: bigint; count: number }>();
    for await (const { key, fingerprint, count } of pages(bbs, page, [])) {
      const known = told.get(key);
      // Pages end in the midst of a bucket.
      told.set(key, {
        fingerprint: (known?.fingerprint ?? 0n) ^ fingerprint,
        count: (known?.count ?? 0) + count,
      });
    }
    const buckets = [...new Set([...told.keys(), ...this.#buckets.keys()])].filter((key) => {
      const [there, here] = [told.get(key), this.#buckets.get(key)];
      return there?.fingerprint !== here?.fingerprint || there?.count !== here?.lrps.size;
    });
    const names = new Set<string>();
    if (buckets.length === 0) return names;
    const there = new Set<string>();
    for await (const { key, fingerprint } of pages(bbs, page, buckets)) {
      there.add(key);
      if (this.#buckets.get(bucketOf(key))?.lrps.get(key) !== fingerprint) names.add(key);
    }
    for await (const bucket of inTurns(buckets)) {
      for (const guid of this.#buckets.get(bucket)?.lrps.keys() ?? []) if (!there.has(guid)) names.add(guid);
    }
    return names;
  }

  #set(guid: string, fingerprint: bigint | undefined): void {
    const key = bucketOf(guid);
    const bucket = this.#buckets.get(key) ?? { fingerprint: 0n, lrps: new Map<string, bigint>() };
    bucket.fingerprint ^= (bucket.lrps.get(guid) ?? 0n) ^ (fingerprint ?? 0n);
    if (fingerprint === undefined) bucket.lrps.delete(guid);
    else bucket.lrps.set(guid, fingerprint);
    if (bucket.lrps.size === 0) this.#buckets.delete(key);
    else this.#buckets.set(key, bucket);
  }
}

/** As the BBS has it. */
function bucketOf(guid: string): string {
  return guid.slice(0, 3);
}

async function* pages(
  bbs: Pick<Client<typeof Bbs>, 'routingFingerprints'>,
  atMost: number,
  buckets: string[],
): AsyncGenerator<RoutingFingerprint> {
  for (let after = ''; ; ) {
    const { fingerprints, last } = await bbs.routingFingerprints({ atMost, after, buckets });
    yield* inTurns(fingerprints);
    if (last === '') return;
    after = last;
  }
}
