import type { SourceMeta } from './log-cache.ts';
import type { Entry } from './source-log.ts';

/** protojson of logcache.v1.ReadResponse: 64-bit integers are strings, bytes base64, empty fields written out. */
export function readResponse(sourceId: string, entries: readonly Entry[]): object {
  return { envelopes: { batch: entries.map((entry) => envelope(sourceId, entry)) } };
}

function envelope(sourceId: string, entry: Entry): object {
  return {
    timestamp: entry.timestamp.toString(),
    source_id: sourceId,
    instance_id: entry.instanceId,
    deprecated_tags: {},
    tags: entry.tags,
    ...(entry.kind === 'LOG'
      ? { log: { payload: entry.payload, type: entry.stderr ? 'ERR' : 'OUT' } }
      : { gauge: { metrics: entry.metrics } }),
  };
}

/** protojson of logcache.v1.MetaInfo. */
export function metaInfo({ count, expired, oldest, newest }: SourceMeta): object {
  return {
    count: String(count),
    expired: String(expired),
    oldest_timestamp: oldest.toString(),
    newest_timestamp: newest.toString(),
  };
}

/** An error in the shape of the gRPC gateway. `code` is gRPC's. */
export function errorBody(code: number, message: string): object {
  return { error: message, code, message, details: [] };
}
