import type { AccessTokenVerifier } from '../contracts/access-token.ts';
import { EnvelopeReader } from '../contracts/envelope-wire.ts';
import { Ingress } from '../contracts/gen/loggregator_pb.js';
import type { RequestHandler } from '../kit/http.ts';
import type { Logger } from '../kit/log.ts';
import type { Routes } from '../kit/rpc.ts';
import { type LogAccess, ReadAccess } from './access.ts';
import { Followers } from './followers.ts';
import { DEFAULT_LIMITS, LogCache, type LogCacheLimits } from './log-cache.ts';
import { logCacheApi } from './log-cache-api.ts';

export interface LoggregatorOptions {
  log: Logger;
  /** CloudControllerInternal.LogAccess. */
  access: LogAccess;
  /** Refuses expired, revoked and foreign tokens before the Cloud Controller is asked. */
  tokens: Pick<AccessTokenVerifier, 'verify'>;
  limits?: Partial<LogCacheLimits>;
  /** Nanoseconds since 1970. */
  nowNs?: () => bigint;
}

export interface Loggregator {
  /** Registers the service Ingress. */
  routes: Routes;
  /** Serves log-cache.<domain>. */
  handler: RequestHandler;
  close(): Promise<void>;
}

/** The way of log lines and metrics into the cache and out to `cf logs` (LOG-01). */
export function createLoggregator(options: LoggregatorOptions): Loggregator {
  const nowNs = options.nowNs ?? (() => BigInt(Date.now()) * 1_000_000n);
  const cache = new LogCache({ ...DEFAULT_LIMITS, ...options.limits }, nowNs);
  const reader = new EnvelopeReader();
  const followers = new Followers();
  const access = new ReadAccess(options.access, options.tokens);
  const api = logCacheApi({ cache, followers, access, log: options.log });
  return {
    routes: (router) =>
      router.service(Ingress, {
        send: ({ batch }) => {
          cache.put(reader.read(batch));
          return {};
        },
        followers: ({ sourceId, sourceType }) => {
          const newest = cache.newestOf(sourceId, sourceType);
          return { behind: newest === null ? 0 : followers.behind(sourceId, newest) };
        },
      }),
    handler: api.handler,
    close: () => api.close(),
  };
}
