import { createHash } from 'node:crypto';
import { clone, create, type MessageShape, toBinary } from '@bufbuild/protobuf';
import {
  type RouteEntry,
  RouteEntrySchema,
  type RoutingFingerprintsRequestSchema,
  RoutingFingerprintsResponseSchema,
  type RoutingTableRequestSchema,
  RoutingTableResponseSchema,
} from '../../src/contracts/gen/diego_pb.js';
import { byProcess } from '../../src/router/process-routes.ts';

/** The entries as a Diego gives them that has fingerprints: of each LRP they all carry the same. */
function printed(entries: readonly RouteEntry[]): Map<string, { entries: RouteEntry[]; fingerprint: bigint }> {
  return new Map(
    [...byProcess(entries)]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([guid, own]) => {
        const hash = createHash('sha256');
        for (const entry of own) hash.update(toBinary(RouteEntrySchema, entry)).update('\n');
        const fingerprint = hash.digest().readBigUInt64BE();
        return [guid, { entries: own.map((one) => ({ ...clone(RouteEntrySchema, one), fingerprint })), fingerprint }];
      }),
  );
}

/** A page of what is there, and its last LRP. */
function pageOf<Value>(all: ReadonlyMap<string, Value>, atMost: number, after: string): [[string, Value][], string] {
  const rest = [...all].filter(([guid]) => guid > after);
  const page = atMost > 0 ? rest.slice(0, atMost) : rest;
  return [page, page.length < rest.length ? page.at(-1)![0] : ''];
}

/** What a BBS with these entries answers, with pages and fingerprints. */
export function routingTableOf(
  entries: readonly RouteEntry[],
  { processGuids, atMost, after }: MessageShape<typeof RoutingTableRequestSchema>,
) {
  const all = printed(entries);
  if (processGuids.length > 0) {
    const named = [...all].filter(([guid]) => processGuids.includes(guid));
    return create(RoutingTableResponseSchema, { entries: named.flatMap(([, one]) => one.entries) });
  }
  const [page, last] = pageOf(all, atMost, after);
  return create(RoutingTableResponseSchema, { entries: page.flatMap(([, one]) => one.entries), last });
}

export function routingFingerprintsOf(
  entries: readonly RouteEntry[],
  { atMost, after, buckets }: MessageShape<typeof RoutingFingerprintsRequestSchema>,
) {
  const [page, last] = pageOf(printed(entries), atMost, after);
  const sums = new Map<string, { key: string; fingerprint: bigint; count: number }>();
  for (const [guid, { fingerprint }] of page) {
    const bucket = guid.slice(0, 3);
    if (buckets.length > 0 && !buckets.includes(bucket)) continue;
    const key = buckets.length > 0 ? guid : bucket;
    const sum = sums.get(key);
    sums.set(key, { key, fingerprint: (sum?.fingerprint ?? 0n) ^ fingerprint, count: (sum?.count ?? 0) + 1 });
  }
  return create(RoutingFingerprintsResponseSchema, { fingerprints: [...sums.values()], last });
}
