import { connect, type NatsConnection } from '@nats-io/transport-node';
import { isRecord } from './json.ts';
import type { Logger } from './log.ts';
import type { Identity } from './tls.ts';

/** Subjects of the platform. An event is a hint to look; the database is the truth. */
export const SUBJECTS = {
  /** Desired LRPs, actual LRPs or tasks changed: `{ processGuids? }`, those of the LRPs; without the list it may be any. */
  diego: 'diego.changed',
  /** Access tokens were revoked, or may have been: no content. */
  revocations: 'uaa.revoked',
} as const;
export type Subject = (typeof SUBJECTS)[keyof typeof SUBJECTS];

/** Publishes and hears hints. A lost bus delays, and loses nothing. */
export interface Bus {
  publish(subject: Subject, event?: Record<string, unknown>): void;
  /** Gives the function that ends the subscription. */
  subscribe(subject: Subject, listener: (event: Record<string, unknown>) => void): () => void;
  close(): Promise<void>;
}

/** A bus inside one process. Everything heard is what this process published. */
export class LocalBus implements Bus {
  readonly #listeners = new Map<Subject, Set<(event: Record<string, unknown>) => void>>();

  publish(subject: Subject, event: Record<string, unknown> = {}): void {
    for (const listener of this.#listeners.get(subject) ?? []) queueMicrotask(() => listener(event));
  }

  subscribe(subject: Subject, listener: (event: Record<string, unknown>) => void): () => void {
    const listeners = this.#listeners.get(subject) ?? new Set();
    this.#listeners.set(subject, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  async close(): Promise<void> {
    this.#listeners.clear();
  }
}

/** Read at each reconnection, so that a replaced identity is shown then. */
function liveCredentials(identity: Identity): Pick<Identity, 'cert' | 'key' | 'ca'> {
  return {
    get cert() {
      return identity.cert;
    },
    get key() {
      return identity.key;
    },
    get ca() {
      return identity.ca;
    },
  };
}

/** NATS under mutual TLS; reconnects for ever. Events published while it is away are dropped. */
export async function connectBus(url: string, identity: Identity, log: Logger): Promise<Bus> {
  const connection: NatsConnection = await connect({
    servers: url,
    tls: liveCredentials(identity),
    maxReconnectAttempts: -1,
    reconnectTimeWait: 500,
    waitOnFirstConnect: true,
  });
  void (async () => {
    for await (const status of connection.status()) {
      if (status.type === 'disconnect' || status.type === 'reconnect') log.info('bus', { status: status.type });
    }
  })();
  return {
    publish: (subject, event = {}) => {
      try {
        connection.publish(subject, JSON.stringify(event));
      } catch (error) {
        log.warn('an event was not published', { subject, error });
      }
    },
    subscribe: (subject, listener) => {
      const subscription = connection.subscribe(subject, {
        callback: (error, message) => {
          if (error) return;
          try {
            const event: unknown = message.json();
            if (!isRecord(event)) throw new TypeError('an event is an object');
            listener(event);
          } catch (cause) {
            log.warn('an event was not understood', { subject, error: cause });
          }
        },
      });
      return () => subscription.unsubscribe();
    },
    close: () => connection.close(),
  };
}
